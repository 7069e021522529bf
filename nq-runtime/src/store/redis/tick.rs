//! What time brings, partition by partition.

use std::time::Duration;

use futures_util::FutureExt;
use nq_core::limits::MAX_TIME_MS;
use nq_core::store::{ErrorKind, StoreError, Tick, Ticked};
use redis::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::RedisStore;
use super::errors::is_full;
use super::lanes::{PATIENCE, silent};
use super::library::Call;
use super::partition::Partition;
use super::reply::Reply;

const OP: &str = "tick";
/// How many jobs and runs a tick looks over for what the queues have lost.
const SWEEP: usize = 200;

/// How long each partition has at least, whatever the others took.
const LEAST: Duration = Duration::from_millis(100);

impl RedisStore {
    pub(super) async fn tick_all(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        let mut all = Ticked::default();
        let mut left = tick.limit;
        let mut away = Vec::new();
        let until = Instant::now() + PATIENCE;
        for at in 0..self.partitions.len() {
            let ticked = match self.tick_at(at, tick, left, until).await {
                Ok(ticked) => ticked,
                // What made room has done something, and there is more to do.
                Err(error) if error.is_retryable() && all.removed > 0 => {
                    all.more = true;
                    continue;
                }
                // What lives goes on.
                Err(error) if error.is_retryable() && self.goes_apart() => {
                    away.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
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
        let none = away.len() == self.partitions.len();
        away.pop().filter(|_| none).map_or(Ok(all), Err)
    }

    /// The tick of one partition. One on a node that does not answer goes on by itself, and is looked at by the
    /// next ticks.
    async fn tick_at(
        &self,
        at: usize,
        tick: &Tick,
        limit: usize,
        until: Instant,
    ) -> Result<Ticked, StoreError> {
        let partition = &self.partitions[at];
        if !self.goes_apart() {
            return tick_one(partition, tick, limit).await;
        }
        let mut ticking = self.ticking.lock().await;
        if let Some(task) = ticking.get_mut(&at) {
            let ended = task.now_or_never().ok_or_else(silent)?;
            ticking.remove(&at);
            if let Ok(ticked) = ended {
                return ticked;
            }
        }
        let (partition, own) = (partition.clone(), tick.clone());
        let mut task = Handle::current().spawn(async move { tick_one(&partition, &own, limit).await });
        if let Ok(ended) = timeout_at(until.max(Instant::now() + LEAST), &mut task).await {
            return ended.unwrap_or_else(|_| Err(silent()));
        }
        ticking.insert(at, task);
        Err(silent())
    }
}

async fn tick_one(partition: &Partition, tick: &Tick, limit: usize) -> Result<Ticked, StoreError> {
    let keep = |keep_ms: Option<u64>| keep_ms.map_or("-1".to_owned(), |ms| ms.min(MAX_TIME_MS).to_string());
    let call = |function| {
        let mut call = Call::new(function, partition);
        call.arg(tick.lease_ms.min(MAX_TIME_MS))
            .arg(limit)
            .arg(SWEEP)
            .arg(keep(tick.retention.completed_ms))
            .arg(keep(tick.retention.failed_ms))
            .arg(&partition.epoch);
        for queue in &tick.serves {
            call.arg(queue.as_str());
        }
        call
    };
    let reply = match call(OP).run(&partition.turns).await {
        // Only what goes makes room, so it goes first; the rest comes with the next tick.
        Err(full) if is_full(&full) => {
            let freed = ticked(partition, call("remove").run(&partition.turns).await?)?;
            return if freed.removed > 0 { Ok(Ticked { more: true, ..freed }) } else { Err(full) };
        }
        reply => reply?,
    };
    ticked(partition, reply)
}

/// What the reply to a tick says.
fn ticked(partition: &Partition, reply: Value) -> Result<Ticked, StoreError> {
    let mut reply = Reply::new(OP, reply)?;
    if reply.text()? == "epoch" {
        let message = format!(
            "these are not the data that this store was opened on (epoch `{}`, not `{}`): acknowledged work is lost",
            reply.text()?,
            partition.epoch
        );
        return Err(StoreError::new(ErrorKind::Lane, OP, message).with_key(&partition.meta));
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
