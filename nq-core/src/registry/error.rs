//! Mistakes in the wiring of workers.

use super::worker::Worker;
use crate::id::Name;

/// The longest name of a flow or worker, in bytes: two of them make the name of a queue.
pub const MAX_NAME_LEN: usize = 99;

/// A mistake in a set of workers. The proof finds it at compile time; the registry finds it if the workers come from
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// A name that cannot be part of a queue's name.
    #[error("worker `{path}`: the name `{name}` must have 1 to 99 bytes and no white space or `/`")]
    Name {
        /// The worker.
        path: String,
        /// The name.
        name: String,
    },
    /// Two workers of one name in one flow.
    #[error(
        "flow `{flow}` has two workers named `{worker}`: `{first}` and `{second}`; give one of them a `name`"
    )]
    Duplicate {
        /// The flow.
        flow: String,
        /// The name.
        worker: String,
        /// The path of the one.
        first: String,
        /// The path of the other.
        second: String,
    },
    /// A former name that another worker has, or had.
    #[error("worker `{path}` was `{was}`, but {why}")]
    Was {
        /// The worker.
        path: String,
        /// The former name.
        was: String,
        /// What stands against it.
        why: String,
    },
}

/// The name of a worker, or of one of its flows, if it can be part of a queue's name.
pub(super) fn name(worker: &Worker, name: &str) -> Result<Name, WiringError> {
    let fits = name.len() <= MAX_NAME_LEN && !name.contains('/');
    let refused = || WiringError::Name { path: worker.path.clone(), name: name.to_owned() };
    fits.then(|| Name::new(name).ok()).flatten().ok_or_else(refused)
}
