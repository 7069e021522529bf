//! Waiting, by reads that block: one task and one connection for each server that holds partitions. A read is
//! never dropped before it returns; who waits is told by a hint and may be gone by then.
//!
//! A queue is looked at from its beginning, since a ticket stays until a turn takes it: what is there
//! already is seen at once. After a hint the key is not looked at again until someone waits for it again.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nq_core::id::{QueueName, RunId};
use nq_core::store::{Interest, StoreError};
use redis::{Cmd, RedisError, Value};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::link::Link;
use super::reply::{Reply, text};
use super::{Partition, RedisStore};
use crate::store::hints::Hints;

/// How long one read blocks.
pub(super) const BLOCK: Duration = Duration::from_secs(2);
/// How long a key is watched after someone waited for it.
const WATCH: Duration = Duration::from_secs(10);
/// How long a run is left to the hints of this process before its stream is watched: most who wait for a run
/// wait where it runs.
const NEAR: Duration = Duration::from_millis(5);

/// Who waits on which server.
pub(super) struct Waiting {
    /// One for each server, and which of them watches each partition.
    readers: Vec<Arc<Reader>>,
    reader_of: Vec<usize>,
    /// Queues that are known to be paused: their tickets are no news.
    paused: Arc<Mutex<HashSet<QueueName>>>,
}

/// What a blocked read is about.
#[derive(Clone, Debug)]
enum Watched {
    Queue(QueueName),
    Run(RunId),
}

/// A key to watch, and after which entry.
struct Watch {
    what: Watched,
    after: String,
    since: Instant,
}

struct Reader {
    /// For reads that block, and nothing else.
    link: Link,
    /// To wake the blocked one.
    calls: Arc<Link>,
    home: Handle,
    /// The streams of resumed queues.
    resumed: Vec<String>,
    watches: Mutex<Watches>,
    news: Notify,
}

#[derive(Default)]
struct Watches {
    keys: BTreeMap<String, Watch>,
    /// The connection that a read blocks on, and which read it is.
    blocked: Option<(i64, u64)>,
}

impl Waiting {
    /// Begins to read for these partitions; `servers` says which of the links each uses.
    pub(super) fn new(
        links: Vec<(Link, Arc<Link>)>,
        reader_of: Vec<usize>,
        partitions: &[Partition],
        hints: &Arc<Hints>,
        home: &Handle,
    ) -> Self {
        let paused = Arc::new(Mutex::default());
        let readers = links.into_iter().enumerate().map(|(at, (link, calls))| {
            let here = partitions.iter().zip(&reader_of).filter(|(_, reader)| **reader == at);
            let resumed = here.map(|(partition, _)| partition.key("resumed")).collect();
            let (watches, news) = (Mutex::default(), Notify::new());
            let reader = Arc::new(Reader { link, calls, home: home.clone(), resumed, watches, news });
            let told = Told { hints: Arc::downgrade(hints), paused: Arc::clone(&paused) };
            home.spawn(read(Arc::clone(&reader), told));
            reader
        });
        Self { readers: readers.collect(), reader_of, paused }
    }

    /// Learns which of these queues are paused.
    pub(super) fn paused<'a>(&self, asked: impl IntoIterator<Item = &'a QueueName>, paused: &[String]) {
        let mut known = lock(&self.paused);
        for queue in asked {
            if paused.iter().any(|paused| paused == queue.as_str()) {
                known.insert(queue.clone());
            } else {
                known.remove(queue);
            }
        }
    }
}

impl RedisStore {
    pub(super) async fn wait_for(&self, interest: &Interest, most: Duration) -> Result<(), StoreError> {
        // Whoever registers before looking misses nothing.
        let waiter = self.hints.register(interest);
        let woken = async {
            match interest {
                Interest::Queues(queues) => {
                    let paused = lock(&self.waiting.paused).clone();
                    for queue in queues.iter().filter(|queue| !paused.contains(queue)) {
                        for (at, partition) in self.partitions.iter().enumerate() {
                            let what = Watched::Queue(queue.clone());
                            self.watch(at, partition.queue(queue), what, "0-0".into());
                        }
                    }
                    waiter.woken().await;
                }
                Interest::Run { run, .. } | Interest::End { run } => {
                    let Some(summary) = self.summary(run).await? else { return Ok(()) };
                    let ready = match interest {
                        Interest::Run { after, .. } => summary.last.n != *after,
                        _ => summary.status.is_terminal(),
                    };
                    if ready || timeout(NEAR, waiter.woken()).await.is_ok() {
                        return Ok(());
                    }
                    let at = self.partition_index(run);
                    let key = self.partitions[at].timeline(run);
                    self.watch(at, key, Watched::Run(run.clone()), summary.last.to_string());
                    waiter.woken().await;
                }
            }
            Ok(())
        };
        timeout(most, woken).await.unwrap_or(Ok(()))
    }

    fn watch(&self, partition: usize, key: String, what: Watched, after: String) {
        let reader = &self.waiting.readers[self.waiting.reader_of[partition]];
        let blocked = {
            let mut watches = lock(&reader.watches);
            let watch = Watch { what, after, since: Instant::now() };
            // A read that blocks already looks at what it looked at before.
            let known = watches.keys.insert(key, watch).is_some();
            watches.blocked.filter(|_| !known)
        };
        reader.news.notify_one();
        if let Some(blocked) = blocked {
            reader.home.spawn(unblock(Arc::clone(reader), blocked));
        }
    }
}

/// Ends a read that blocks without looking at what has come since. It may be about to block only: so more
/// than once, until it has.
async fn unblock(reader: Arc<Reader>, blocked: (i64, u64)) {
    let mut command = redis::cmd("CLIENT");
    command.arg("UNBLOCK").arg(blocked.0);
    for pause_ms in [1, 2, 5, 10, 50, 200] {
        if lock(&reader.watches).blocked != Some(blocked) {
            return;
        }
        // A user who may not do this waits until the read returns by itself.
        if !matches!(reader.calls.raw(&command).await, Ok(Value::Int(0))) {
            return;
        }
        sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Whom to tell.
struct Told {
    hints: Weak<Hints>,
    paused: Arc<Mutex<HashSet<QueueName>>>,
}

/// Reads as long as the store lives.
async fn read(reader: Arc<Reader>, told: Told) {
    static READS: AtomicU64 = AtomicU64::new(0);
    let mut resumed: Vec<String> = vec!["$".into(); reader.resumed.len()];
    while told.hints.strong_count() > 0 {
        let number = READS.fetch_add(1, Ordering::Relaxed);
        let read = async {
            let client = client_id(&reader.link).await?;
            for (key, after) in reader.resumed.iter().zip(&mut resumed).filter(|(_, after)| *after == "$") {
                *after = last_id(&reader.link, key).await?;
            }
            let Some(command) = reader.prepare((client, number), &resumed) else { return Ok(None) };
            reader.link.raw(&command).await.map(Some)
        };
        let reply = read.await;
        lock(&reader.watches).blocked = None;
        match reply {
            Ok(None) => {
                // Nobody waits for anything.
                let _ = timeout(BLOCK, reader.news.notified()).await;
            }
            Ok(Some(Value::Nil)) => reader.forget_old(),
            Ok(Some(reply)) => {
                let Some(hints) = told.hints.upgrade() else { return };
                for (key, last) in hits(reply) {
                    if let Some(at) = reader.resumed.iter().position(|resumed| *resumed == key) {
                        resumed[at] = last;
                        lock(&told.paused).clear();
                        hints.all();
                    } else {
                        reader.hit(&key, &hints);
                    }
                }
            }
            // The connection knows how long not to try again.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn client_id(link: &Link) -> Result<i64, RedisError> {
    let reply = link.raw(redis::cmd("CLIENT").arg("ID")).await?;
    Ok(if let Value::Int(id) = reply { id } else { 0 })
}

/// The last id of a stream, or the first possible one.
async fn last_id(link: &Link, key: &str) -> Result<String, RedisError> {
    let reply = link.raw(redis::cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1)).await?;
    let first = reply.into_sequence().unwrap_or_default().into_iter().next();
    let id = first.and_then(|entry| entry.into_sequence().ok()?.into_iter().next()).and_then(text);
    Ok(id.unwrap_or_else(|| "0-0".into()))
}

/// The streams of a reply, each with the id of its last entry there.
fn hits(reply: Value) -> Vec<(String, String)> {
    let one = |stream: Value| {
        let mut stream = Reply::new("wait", stream).ok()?;
        let key = stream.text().ok()?;
        let mut entries = stream.list().ok()?;
        let mut last = String::new();
        while let Ok(mut entry) = entries.list() {
            last = entry.text().ok()?;
        }
        Some((key, last))
    };
    reply.into_sequence().unwrap_or_default().into_iter().filter_map(one).collect()
}

impl Reader {
    /// The read of all that is watched, and the note that it blocks; none if nothing is.
    fn prepare(&self, blocked: (i64, u64), resumed: &[String]) -> Option<Cmd> {
        let mut watches = lock(&self.watches);
        if watches.keys.is_empty() {
            return None;
        }
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        command.arg(&self.resumed).arg(watches.keys.keys().collect::<Vec<_>>());
        command.arg(resumed).arg(watches.keys.values().map(|watch| &watch.after).collect::<Vec<_>>());
        watches.blocked = Some(blocked);
        Some(command)
    }

    /// Something came into this stream.
    fn hit(&self, key: &str, hints: &Hints) {
        let Some(watch) = lock(&self.watches).keys.remove(key) else { return };
        match watch.what {
            Watched::Queue(queue) => hints.queue(&queue),
            // Another process wrote: this may be the end.
            Watched::Run(run) => hints.run(&run, true),
        }
    }

    /// What nobody has waited for in a while is not watched any longer.
    fn forget_old(&self) {
        lock(&self.watches).keys.retain(|_, watch| watch.since.elapsed() < WATCH);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is whole between any two statements that change it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
