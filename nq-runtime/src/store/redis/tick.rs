//! What time brings, partition by partition.

use std::time::Duration;

use nq_core::limits::MAX_TIME_MS;
use nq_core::store::{ErrorKind, StoreError, Tick, Ticked};

use super::library::Call;
use super::reply::Reply;
use super::{Partition, RedisStore};

const OP: &str = "tick";
/// How many jobs and runs a tick looks over for what the queues have lost.
const SWEEP: usize = 200;

impl RedisStore {
    pub(super) async fn tick_all(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        let mut all = Ticked::default();
        let mut left = tick.limit;
        for partition in &self.partitions {
            let ticked = tick_one(partition, tick, left).await?;
            left = left.saturating_sub(ticked.due + ticked.expired + ticked.removed);
            all.due += ticked.due;
            all.expired += ticked.expired;
            all.removed += ticked.removed;
            all.more |= ticked.more;
            all.next_due = [all.next_due, ticked.next_due].into_iter().flatten().min();
        }
        if all.due + all.expired + all.removed > 0 {
            self.hints.all();
        }
        Ok(all)
    }
}

async fn tick_one(partition: &Partition, tick: &Tick, limit: usize) -> Result<Ticked, StoreError> {
    let keep = |keep_ms: Option<u64>| keep_ms.map_or("-1".to_owned(), |ms| ms.min(MAX_TIME_MS).to_string());
    let mut call = Call::new(OP, partition);
    call.arg(tick.lease_ms.min(MAX_TIME_MS))
        .arg(limit)
        .arg(SWEEP)
        .arg(keep(tick.retention.completed_ms))
        .arg(keep(tick.retention.failed_ms))
        .arg(&partition.epoch);
    for queue in &tick.serves {
        call.arg(queue.as_str());
    }
    let mut reply = Reply::new(OP, call.run(&partition.turns).await?)?;
    if reply.text()? == "epoch" {
        let message = format!(
            "these are not the data that this store was opened on (epoch `{}`, not `{}`): acknowledged work is lost",
            reply.text()?,
            partition.epoch
        );
        return Err(StoreError::new(ErrorKind::Lane, OP, message).key(&partition.meta));
    }
    let mut count = || Ok::<_, StoreError>(reply.number()? as usize);
    let (due, expired, removed, more) = (count()?, count()?, count()?, count()?);
    let next_due = u64::try_from(reply.int()?).ok().map(Duration::from_millis);
    let (repaired, lost) = (reply.number()?, reply.number()?);
    if lost > 0 {
        tracing::error!(prefix = %partition.prefix, "a queue was deleted or replaced; its jobs are looked for");
    }
    if repaired > 0 {
        tracing::error!(repaired, prefix = %partition.prefix, "jobs were in no queue and are queued again");
    }
    reply.log_failures()?;
    Ok(Ticked { due, expired, removed, more: more > 0, next_due })
}
