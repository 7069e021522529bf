//! Why a run could not be started.

use nq_core::id::{IdError, RunId};
use nq_core::store::StoreError;
use serde::{Deserialize, Serialize};

use super::near::hint;

/// A run could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program has no such flow.
    #[error("there is no flow `{flow}`{}", instead(.flow, .worker_of, .near.as_deref()))]
    NoFlow {
        /// The name that was asked for.
        flow: String,
        /// The flows that have a worker of this name.
        worker_of: Vec<String>,
        /// A flow with a similar name.
        near: Option<String>,
    },
    /// The flow has several entries and the caller named none, or no entry has the name that the caller gave.
    #[error("flow `{flow}` begins at {}: name one with `.entry(…)`", list(.entries))]
    NoEntry {
        /// The flow.
        flow: String,
        /// Its entries.
        entries: Vec<String>,
    },
    /// The worker belongs to several flows, and the caller named none.
    #[error("worker `{worker}` belongs to the flows {}: start it with `nq.flow(…).start::<…>(…)`", list(.flows))]
    SeveralFlows {
        /// The worker.
        worker: String,
        /// Its flows.
        flows: Vec<String>,
    },
    /// The input does not fit the schema of the event that starts the flow.
    #[error("the input does not fit the event `{event}`: {}", said(.violations))]
    Invalid {
        /// The event.
        event: String,
        /// What is wrong, and where.
        violations: Vec<Violation>,
    },
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    NotJson(String),
    /// The input is nested too deep.
    #[error(
        "the input is nested deeper than {limit} levels at `{pointer}`: make it flatter, or keep the data elsewhere \
         and pass its key"
    )]
    TooDeep {
        /// Where, as a JSON pointer. The middle of a long one is left out.
        pointer: String,
        /// The limit.
        limit: usize,
    },
    /// The input is larger than the limit.
    #[error(
        "the input has {bytes} bytes of JSON, and the limit is {limit}: keep the data elsewhere and pass its key"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The run id is not valid.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The store refused the start: nothing has begun.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has not answered, so that the run may have begun.
    #[error(
        "nobody knows whether run `{run}` has begun: start it again with `.id(\"{run}\")`, which begins it once"
    )]
    Unknown {
        /// The id of the run, also where the caller gave none.
        run: RunId,
        /// What the store said instead.
        source: StoreError,
    },
}

/// One way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Where, as a JSON pointer: `/items/0/qty`. Empty for the value itself.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}
/// What to write in place of a name that no flow has.
fn instead(name: &str, worker_of: &[String], near: Option<&str>) -> String {
    match worker_of {
        [] => hint(near),
        [flow] => format!("; `{name}` is a worker of flow `{flow}`: start the flow `{flow}`"),
        flows => format!("; `{name}` is a worker of the flows {}: start one of these", list(flows)),
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn said(violations: &[Violation]) -> String {
    let one = |v: &Violation| match v.pointer.as_str() {
        "" => v.message.clone(),
        pointer => format!("at `{pointer}`: {}", v.message),
    };
    violations.iter().map(one).collect::<Vec<_>>().join("; ")
}
