//! Ticks: the calls by which a store does what is due by its clock.

use std::time::Duration;

use crate::id::{InstanceId, QueueName};

/// What a tick may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Who ticks.
    pub instance: InstanceId,
    /// How long a lease lasts.
    pub lease_ms: u64,
    /// How long a finished run is kept; none for ever.
    pub retention: Retention,
    /// At most this many jobs and runs in one call.
    pub limit: usize,
    /// The queues from which the caller takes jobs. The store remembers them for one lease, so most ticks leave this
    /// empty.
    pub serves: Vec<QueueName>,
}

/// How long finished runs are kept, by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// After `flow.completed`, in milliseconds.
    pub completed_ms: Option<u64>,
    /// After any other end, in milliseconds.
    pub failed_ms: Option<u64>,
}

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Delayed jobs that went to their queues.
    pub due: usize,
    /// Jobs whose lease ran out.
    pub expired: usize,
    /// Runs whose retention ended.
    pub removed: usize,
    /// Whether the limit cut it short.
    pub more: bool,
    /// How long until the next delayed job is due, if one waits.
    pub next_due: Option<Duration>,
}
