//! What an instance waits for, and what it offers meanwhile.

use std::sync::Arc;

use super::Lease;
use crate::id::{InstanceId, QueueName, RunId};

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A job to lease in one of these.
    Queues(Vec<QueueName>),
    /// An entry of this run after this position.
    Run {
        /// The run.
        run: RunId,
        /// The position.
        after: u64,
    },
    /// The end of this run.
    End {
        /// The run.
        run: RunId,
    },
}

/// The offer of an instance to take one job while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The instance.
    pub instance: InstanceId,
    /// The queues whose jobs it takes.
    pub queues: Vec<QueueName>,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// The number of the instance's last turn; 0 before its first.
    pub turn: u64,
}

/// The callback that an instance gives with its offer: the store calls it with the job that the offer brings.
pub type Take = Arc<dyn Fn(Lease) + Send + Sync>;
