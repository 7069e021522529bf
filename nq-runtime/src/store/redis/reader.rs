//! Reads that block: one task and one connection for each server that holds partitions, another where runs are
//! waited for, and one for jobs that are given. Who waits is told by a hint and may be gone by then. Nothing is
//! lost with a read that is dropped: what it looks at stays, and a job that was given comes with the next turn.
//!
//! After a hint the key of a queue or a run is not looked at again until someone waits for it again. The stream
//! of ended runs is followed as long as someone waits for the end of a run now and then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nq_core::id::{InstanceId, QueueName, RunId};
use nq_core::store::Take;
use redis::{Cmd, RedisError, Value};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::lease::given;
use super::link::Link;
use super::reply::{Reply, text};
use crate::store::hints::Hints;

/// How long one read blocks.
pub(super) const BLOCK: Duration = Duration::from_secs(2);
/// How long a key is watched after someone waited for it.
const WATCH: Duration = Duration::from_secs(10);
/// How long the next read waits after a ticket was seen for the one who was told to wait again: a read that
/// began without his queue would have to be ended.
const AGAIN: Duration = Duration::from_millis(20);
/// At most this many entries of each stream come with one answer.
const PAGE: usize = 100;

/// What a blocked read is about.
#[derive(Clone, Debug)]
pub(super) enum Watched {
    /// Tickets of a queue.
    Queue(QueueName),
    /// Entries of a run.
    Run(RunId),
    /// The runs of a partition that end.
    Ended,
    /// What the offers of an instance bring.
    Given(InstanceId),
}

/// A key to watch, and after which entry.
struct Watch {
    what: Watched,
    after: String,
    since: Instant,
}

/// Whom to tell.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) hints: Weak<Hints>,
    /// Queues that are known to be paused.
    pub(super) paused: Arc<Mutex<HashSet<QueueName>>>,
    /// The number of the offer of each instance, and how it takes what that brings.
    pub(super) offers: Arc<Mutex<HashMap<InstanceId, (u64, Take)>>>,
}

/// An offer as long as its future lives.
pub(super) struct Standing<'a> {
    told: &'a Told,
    instance: &'a InstanceId,
    number: u64,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.told.take(self.instance, self.number);
    }
}

impl Told {
    /// Remembers how an instance takes what its offer of this number brings.
    pub(super) fn stand<'a>(&'a self, instance: &'a InstanceId, number: u64, take: &Take) -> Standing<'a> {
        lock(&self.offers).insert(instance.clone(), (number, take.clone()));
        Standing { told: self, instance, number }
    }

    /// How an instance takes what its offer of this number brings, if that is its last.
    fn take(&self, instance: &InstanceId, number: u64) -> Option<Take> {
        let mut offers = lock(&self.offers);
        offers.get(instance).filter(|(last, _)| *last == number)?;
        offers.remove(instance).map(|(_, take)| take)
    }

    /// Tells whom it concerns what came. The key of the stream, if somebody is expected to wait for it again at
    /// once.
    async fn tell(&self, watched: Watched, stream: Stream, hints: &Hints) -> Option<String> {
        match watched {
            Watched::Queue(queue) => {
                hints.queue(&queue);
                return Some(stream.key);
            }
            // Another process wrote: this may be the end.
            Watched::Run(run) => hints.run(&run, true),
            Watched::Ended => {
                // Of each that a call has ended, `r` and its id.
                let runs = stream.entries.into_iter().flat_map(|words| words.into_iter().skip(1).step_by(2));
                runs.filter_map(text)
                    .filter_map(|run| run.parse().ok())
                    .for_each(|run| hints.run(&run, true));
            }
            Watched::Given(instance) => {
                // What cannot be read, or another offer has brought, comes with the next turn.
                for (number, lease) in stream.entries.into_iter().flatten().filter_map(given) {
                    let (run, queue) = (lease.run.clone(), lease.queue.clone());
                    if let Some(take) = self.take(&instance, number) {
                        take(lease);
                        // What was taken begins first.
                        tokio::task::yield_now().await;
                    }
                    hints.queue(&queue);
                    hints.run(&run, false);
                }
            }
        }
        None
    }
}

/// The reads of one connection.
pub(super) struct Reader {
    /// For reads that block, and nothing else.
    link: Link,
    /// To wake the blocked one.
    calls: Arc<Link>,
    /// Where it is woken from.
    home: Handle,
    kind: Kind,
    /// The streams of resumed queues.
    resumed: Vec<String>,
    watches: Mutex<Watches>,
    news: Notify,
    /// The task that reads. It ends with the runtime that it lives on, and begins again on another.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the keys of a connection are.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Streams,
    /// A read takes out of them what it answers.
    Lists,
}

#[derive(Default)]
struct Watches {
    keys: BTreeMap<String, Watch>,
    /// The connection that a read blocks on, and which read it is.
    blocked: Option<(i64, u64)>,
}

impl Reader {
    pub(super) fn new(link: Link, calls: Arc<Link>, home: Handle, kind: Kind, resumed: Vec<String>) -> Self {
        let (watches, news, task) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { link, calls, home, kind, resumed, watches, news, task }
    }

    /// Sees to it that there is a task that reads: on this runtime or, if one has ended with its runtime, on
    /// that of the caller.
    pub(super) fn live_on(self: &Arc<Self>, runtime: &Handle, told: &Told) {
        let mut task = lock(&self.task);
        let runtime = match &*task {
            None => runtime.clone(),
            Some(task) if task.is_finished() => Handle::current(),
            Some(_) => return,
        };
        *task = Some(runtime.spawn(read(Arc::clone(self), told.clone())));
    }

    /// Watches these keys, each from behind an entry.
    pub(super) fn watch(self: &Arc<Self>, keys: impl IntoIterator<Item = (String, Watched, String)>) {
        let mut news = false;
        let blocked = {
            let mut watches = lock(&self.watches);
            for (key, what, after) in keys {
                // A read that blocks already looks at what it looked at before.
                news |= watches.keys.insert(key, Watch { what, after, since: Instant::now() }).is_none();
            }
            watches.blocked.filter(|_| news)
        };
        if news {
            self.news.notify_one();
        }
        if let Some(blocked) = blocked {
            self.home.spawn(unblock(Arc::clone(self), blocked));
        }
    }

    /// Whether this stream is watched.
    pub(super) fn follows(&self, key: &str) -> bool {
        lock(&self.watches).keys.contains_key(key)
    }

    /// Goes on following this stream, if it is followed.
    pub(super) fn follow_on(&self, key: &str) -> bool {
        let mut watches = lock(&self.watches);
        let watch = watches.keys.get_mut(key);
        watch.map(|watch| watch.since = Instant::now()).is_some()
    }

    /// The read of all that is watched, and the note that it blocks; none if nothing is.
    fn prepare(&self, blocked: (i64, u64), resumed: &[String]) -> Option<Cmd> {
        let mut watches = lock(&self.watches);
        if watches.keys.is_empty() {
            return None;
        }
        let keys: Vec<_> = watches.keys.keys().collect();
        let mut command = Cmd::new();
        match self.kind {
            Kind::Streams => {
                command
                    .arg("XREAD")
                    .arg("COUNT")
                    .arg(PAGE)
                    .arg("BLOCK")
                    .arg(nq_core::limits::duration_ms(BLOCK));
                command.arg("STREAMS").arg(&self.resumed).arg(keys).arg(resumed);
                command.arg(watches.keys.values().map(|watch| &watch.after).collect::<Vec<_>>());
            }
            Kind::Lists => {
                command.arg("BLPOP").arg(keys).arg(BLOCK.as_secs());
            }
        }
        watches.blocked = Some(blocked);
        Some(command)
    }

    /// What came, as such a read answers.
    fn streams(&self, reply: Value) -> Vec<Stream> {
        match self.kind {
            Kind::Streams => streams(reply),
            Kind::Lists => {
                let mut pair = reply.into_sequence().unwrap_or_default().into_iter();
                let key = pair.next().and_then(text);
                let one = |key| Stream { key, last: String::new(), entries: vec![pair.collect()] };
                key.map(one).into_iter().collect()
            }
        }
    }

    /// Something came into this stream: what it is watched for, if it still is. A queue or a run is not watched
    /// any longer.
    fn hit(&self, stream: &Stream) -> Option<Watched> {
        let mut watches = lock(&self.watches);
        let watch = watches.keys.get_mut(&stream.key)?;
        let goes_on = match watch.what {
            Watched::Given(_) => true,
            Watched::Ended => watch.since.elapsed() < WATCH,
            Watched::Queue(_) | Watched::Run(_) => false,
        };
        if !goes_on {
            return watches.keys.remove(&stream.key).map(|watch| watch.what);
        }
        watch.after.clone_from(&stream.last);
        Some(watch.what.clone())
    }

    /// What nobody has waited for in a while is not watched any longer.
    fn forget_old(&self) {
        lock(&self.watches).keys.retain(|_, watch| watch.since.elapsed() < WATCH);
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

/// Reads as long as the store lives.
async fn read(reader: Arc<Reader>, told: Told) {
    static READS: AtomicU64 = AtomicU64::new(0);
    let mut resumed: Vec<String> = vec!["$".into(); reader.resumed.len()];
    while told.hints.strong_count() > 0 {
        let number = READS.fetch_add(1, Ordering::Relaxed);
        let read = async {
            let client = reader.link.client_id().await?;
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
                let mut taken = None;
                for stream in reader.streams(reply) {
                    if let Some(at) = reader.resumed.iter().position(|resumed| *resumed == stream.key) {
                        resumed[at] = stream.last;
                        lock(&told.paused).clear();
                        hints.all();
                    } else if let Some(watched) = reader.hit(&stream) {
                        taken = told.tell(watched, stream, &hints).await.or(taken);
                    }
                }
                drop(hints);
                // Who was told goes on before the next read is sent.
                tokio::task::yield_now().await;
                if let Some(key) = taken {
                    let watched_again = async {
                        while !reader.follows(&key) {
                            reader.news.notified().await;
                        }
                    };
                    let _ = timeout(AGAIN, watched_again).await;
                }
            }
            // The connection knows how long not to try again.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The last id of a stream, or the first possible one.
pub(super) async fn last_id(link: &Link, key: &str) -> Result<String, RedisError> {
    let reply = link.read(redis::cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1)).await?;
    let first = reply.into_sequence().unwrap_or_default().into_iter().next();
    let id = first.and_then(|entry| entry.into_sequence().ok()?.into_iter().next()).and_then(text);
    Ok(id.unwrap_or_else(|| "0-0".into()))
}

/// What came into a stream or a list.
struct Stream {
    key: String,
    /// The id of the last entry; none in a list.
    last: String,
    /// The fields and values of each entry.
    entries: Vec<Vec<Value>>,
}

/// The streams of a reply.
fn streams(reply: Value) -> Vec<Stream> {
    let one = |stream: Value| {
        let mut stream = Reply::new("wait", stream).ok()?;
        let key = stream.text().ok()?;
        let mut entries = stream.list().ok()?;
        let mut found = Stream { key, last: String::new(), entries: Vec::new() };
        while let Ok(mut entry) = entries.list() {
            found.last = entry.text().ok()?;
            found.entries.push(entry.value().ok()?.into_sequence().ok()?);
        }
        Some(found)
    };
    reply.into_sequence().unwrap_or_default().into_iter().filter_map(one).collect()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is whole between any two statements that change it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
