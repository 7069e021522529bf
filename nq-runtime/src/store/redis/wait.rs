//! Waiting: a look at what is there already, then hints of this process and of the blocked reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nq_core::id::QueueName;
use nq_core::limits;
use nq_core::store::{Interest, Offer, StoreError, Take};
use redis::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::library::Call;
use super::link::Link;
use super::reader::{Kind, Reader, Told, Watched, last_id, lock};
use super::turn::started_data;
use super::{Partition, RedisStore};
use crate::store::hints::Hints;

/// How long a run is left to the hints of this process before the server is asked to tell: most who wait for a
/// run wait where it runs.
const NEAR: Duration = Duration::from_millis(5);

/// Who waits on which server.
pub(super) struct Waiting {
    servers: Vec<Server>,
    /// Which of the servers holds each partition.
    server_of: Vec<usize>,
    told: Told,
    /// Where reads live that nobody is in a hurry for.
    home: Handle,
    /// The runtime that the store was opened on: that of the program, where handlers run.
    program: Handle,
}

/// The reads of one server. Each lives where what it brings is needed, so that it gets there without a detour:
/// that of the queues on the thread of the engine that waits for a job, that of the jobs that are given where
/// they run.
struct Server {
    queues: Arc<Reader>,
    given: Arc<Reader>,
    runs: Arc<Reader>,
}

/// The links of one server: for the reads of queues, for those of jobs that are given, for those of runs, and to
/// wake them.
pub(super) struct Links {
    pub(super) queues: Link,
    pub(super) given: Link,
    pub(super) runs: Link,
    pub(super) calls: Arc<Link>,
}

impl Waiting {
    /// Prepares to read for these partitions; `server_of` says on which of the servers each is.
    pub(super) fn new(
        links: Vec<Links>,
        server_of: Vec<usize>,
        partitions: &[Partition],
        hints: &Arc<Hints>,
        home: &Handle,
    ) -> Self {
        let servers = links.into_iter().enumerate().map(|(at, links)| {
            let here = partitions.iter().zip(&server_of).filter(|(_, server)| **server == at);
            let resumed = here.map(|(partition, _)| partition.key("resumed")).collect();
            let reader = |link, kind, resumed| {
                Arc::new(Reader::new(link, Arc::clone(&links.calls), home.clone(), kind, resumed))
            };
            Server {
                queues: reader(links.queues, Kind::Streams, resumed),
                given: reader(links.given, Kind::Lists, Vec::new()),
                runs: reader(links.runs, Kind::Streams, Vec::new()),
            }
        });
        let told = Told { hints: Arc::downgrade(hints), paused: Arc::default(), offers: Arc::default() };
        let program = Handle::try_current().unwrap_or_else(|_| home.clone());
        Self { servers: servers.collect(), server_of, told, home: home.clone(), program }
    }

    /// Learns which of these queues are paused.
    pub(super) fn paused<'a>(&self, asked: impl IntoIterator<Item = &'a QueueName>, paused: &[String]) {
        let mut known = lock(&self.told.paused);
        for queue in asked {
            if paused.iter().any(|paused| paused == queue.as_str()) {
                known.insert(queue.clone());
            } else {
                known.remove(queue);
            }
        }
    }

    fn server(&self, partition: usize) -> &Server {
        &self.servers[self.server_of[partition]]
    }
}

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
