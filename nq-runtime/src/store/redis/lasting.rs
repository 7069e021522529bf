//! What must last before it is acknowledged.

use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};
use redis::Value;

use super::library::Call;
use super::link::Link;
use super::options::Durability;

/// What must have happened before an effect is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting {
    pub(super) durability: Durability,
    /// Whether the server syncs every write to its disk anyway.
    pub(super) always: bool,
    /// How long replicas or a disk may take to confirm.
    pub(super) confirm: Duration,
}

impl Lasting {
    /// Makes a call and returns when its effect lasts.
    pub(super) async fn call(self, call: &Call, link: &Link) -> Result<Value, StoreError> {
        let confirm_ms = nq_core::limits::duration_ms(self.confirm);
        let (confirm, what) = match self.durability {
            Durability::Relaxed => return call.run(link).await,
            Durability::Fsync if self.always => return call.run(link).await,
            Durability::Fsync => {
                (redis::cmd("WAITAOF").arg(1).arg(0).arg(confirm_ms).clone(), "the server's disk")
            }
            Durability::Replicated => (redis::cmd("WAIT").arg(1).arg(confirm_ms).clone(), "a replica"),
        };
        let (reply, confirmed) = call.run_then(link, &confirm).await?;
        let copies = match &confirmed {
            Value::Int(replicas) => *replicas,
            Value::Array(counts) => counts.first().map_or(0, |local| i64::from(*local != Value::Int(0))),
            _ => 0,
        };
        if copies > 0 {
            return Ok(reply);
        }
        let message = format!("{what} did not confirm it within {confirm_ms} ms; it may have happened");
        Err(StoreError::new(ErrorKind::Unavailable, call.op(), message))
    }
}
