//! The settings of an engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nq_core::id::InstanceId;
use nq_core::registry::Registry;
use nq_core::store::Retention;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::Shared;
use crate::handler::Handler;
use crate::link::Message;

/// How an instance works.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) instance: InstanceId,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) concurrency: u32,
    pub(crate) retention: Retention,
}

/// What an engine runs, and where.
pub(crate) struct Starting {
    pub(crate) registry: Arc<Registry>,
    pub(crate) handlers: HashMap<&'static str, &'static Handler>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    /// The program's runtime, where handlers run.
    pub(crate) handle: Handle,
}

/// Longer than any process runs, and short enough to be added to any moment: a hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The moment so long after another. If the duration is too long to be added, a moment that no process lives to see.
pub(super) fn after(moment: Instant, duration: Duration) -> Instant {
    moment.checked_add(duration).unwrap_or_else(|| moment + FOR_EVER)
}
