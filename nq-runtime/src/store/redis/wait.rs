//! Waiting: a look at what is there already, then hints of this process and of the blocked reads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nq_core::id::QueueName;
use nq_core::limits;
use nq_core::store::{Interest, Offer, StoreError, Take};
use redis::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::RedisStore;
use super::library::Call;
use super::reader::{Watched, last_id, lock};
use super::turn::started_data;

/// How long a run is left to the hints of this process before the server is asked to tell: most who wait for a
/// run wait where it runs.
const NEAR: Duration = Duration::from_millis(5);

impl RedisStore {
    pub(super) async fn wait_for(&self, interest: &Interest, most: Duration) -> Result<(), StoreError> {
        // Whoever registers before looking misses nothing.
        let waiter = self.hints.register(interest);
        let woken = async {
            match interest {
                Interest::Queues(queues) => {
                    self.watch_queues(queues);
                    waiter.woken().await;
                }
                Interest::Run { run, after } => {
                    let Some(summary) = self.summary(run).await? else { return Ok(()) };
                    if summary.last.n != *after || timeout(NEAR, waiter.woken()).await.is_ok() {
                        return Ok(());
                    }
                    let at = self.partition_index(run);
                    let key = self.partitions[at].timeline(run);
                    let reader = &self.waiting.server(at).runs;
                    reader.watch([(key, Watched::Run(run.clone()), summary.last.to_string())]);
                    reader.live_on(&self.waiting.home, &self.waiting.told);
                    waiter.woken().await;
                }
                Interest::End { run } => {
                    let at = self.partition_index(run);
                    let key = self.partitions[at].key("ended");
                    let reader = &self.waiting.server(at).runs;
                    let ended = async || {
                        let summary = self.summary(run).await?;
                        Ok::<_, StoreError>(summary.is_none_or(|summary| summary.status.is_terminal()))
                    };
                    let followed = reader.follows(&key);
                    if ended().await? || timeout(NEAR, waiter.woken()).await.is_ok() {
                        return Ok(());
                    }
                    if !(followed && reader.follow_on(&key)) {
                        // What ended before this position is found by another look.
                        let last = last_id(&self.partitions[at].calls, &key).await;
                        let last = last.map_err(|error| super::errors::store_error("wait", error))?;
                        reader.watch([(key, Watched::Ended, last)]);
                        reader.live_on(&self.waiting.home, &self.waiting.told);
                        if ended().await? {
                            return Ok(());
                        }
                    }
                    waiter.woken().await;
                }
            }
            Ok(())
        };
        timeout(most, woken).await.unwrap_or(Ok(()))
    }

    pub(super) async fn take_offer(
        &self,
        offer: &Offer,
        take: &Take,
        most: Duration,
    ) -> Result<(), StoreError> {
        let interest = Interest::Queues(offer.queues.clone());
        if !self.takes_offers() {
            return self.wait_for(&interest, most).await;
        }
        let partition = &self.partitions[0];
        let number = self.offers.fetch_add(1, Ordering::Relaxed) + 1;
        let waiter = self.hints.register(&interest);
        let _standing = self.waiting.told.stand(&offer.instance, number, take);
        let inbox = partition.key(&format!("given:{}", offer.instance));
        let given = &self.waiting.server(0).given;
        given.watch([(inbox, Watched::Given(offer.instance.clone()), String::new())]);
        given.live_on(&self.waiting.program, &self.waiting.told);
        self.watch_queues(&offer.queues);
        let mut call = Call::new("offer", partition);
        call.arg(offer.instance.as_str())
            .arg(limits::duration_ms(most) + 1)
            .arg(number)
            .arg(offer.lease_ms.min(limits::MAX_TIME_MS))
            .arg(started_data(&offer.instance))
            .arg(offer.turn)
            .arg(offer.queues.iter().map(QueueName::as_str).collect::<Vec<_>>());
        let offered = async {
            // Only where an earlier one has brought a job there is something to do at once.
            if call.run(&partition.turns).await? != Value::Int(1) {
                waiter.woken().await;
            }
            Ok(())
        };
        timeout(most, offered).await.unwrap_or(Ok(()))
    }

    /// Asks for the tickets of these queues. A queue is looked at from its beginning, since a ticket stays
    /// until a turn takes it: what is there already is seen at once.
    fn watch_queues(&self, queues: &[QueueName]) {
        // The tickets of a queue that is known to be paused are no news.
        let paused = lock(&self.waiting.told.paused).clone();
        let open: Vec<_> = queues.iter().filter(|queue| !paused.contains(queue)).collect();
        for (at, server) in self.waiting.servers.iter().enumerate() {
            let here =
                self.partitions.iter().zip(&self.waiting.server_of).filter(|(_, server)| **server == at);
            server.queues.watch(here.flat_map(|(partition, _)| {
                open.iter()
                    .map(|&queue| (partition.queue(queue), Watched::Queue(queue.clone()), "0-0".into()))
            }));
            server.queues.live_on(&Handle::current(), &self.waiting.told);
        }
    }
}
