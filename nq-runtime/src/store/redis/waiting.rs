//! Who waits on which server, and the reads that wait for them.

use std::sync::Arc;

use nq_core::id::QueueName;
use tokio::runtime::Handle;

use super::link::Link;
use super::partition::Partition;
use super::reader::{Kind, Reader, Told, lock};
use crate::store::hints::Hints;

/// Who waits on which server.
pub(super) struct Waiting {
    pub(super) servers: Vec<Server>,
    /// Which of the servers holds each partition.
    pub(super) server_of: Vec<usize>,
    pub(super) told: Told,
    /// Where reads live that nobody is in a hurry for.
    pub(super) home: Handle,
    /// The runtime that the store was opened on: that of the program, where handlers run.
    pub(super) program: Handle,
}

/// The reads of one server. Each lives where what it brings is needed, so that it gets there without a detour:
/// that of the queues on the thread of the engine that waits for a job, that of the jobs that are given where
/// they run.
pub(super) struct Server {
    pub(super) queues: Arc<Reader>,
    pub(super) given: Arc<Reader>,
    pub(super) runs: Arc<Reader>,
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

    pub(super) fn server(&self, partition: usize) -> &Server {
        &self.servers[self.server_of[partition]]
    }
}
