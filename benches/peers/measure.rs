//! How each Rust program of `cargo xtask bench peers` measures: the workloads, written once over what a peer can do.
//!
//! A program is called as `PROGRAM WORKLOAD AT SECONDS STORE`, measures once, and prints one line of JSON. Every peer is
//! measured by the same clock: it starts when the workers start, or with the first start, and stops in the last
//! handler. So no peer pays for the way in which it tells that something is finished, and none gains by its absence.

#![allow(dead_code, reason = "each program uses the part that it needs")]

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How many bytes each payload carries.
const PAD: usize = 200;
/// How many jobs a second are added to measure how soon they are picked up: on Redis, and embedded, where a peer does
/// not keep up with more.
const PICKUP_RATE: f64 = 200.0;
const EMBEDDED_PICKUP_RATE: f64 = 20.0;
/// The runs whose remains are weighed.
const KEPT_RUNS: usize = 2_000;
/// How long it takes the server to count its memory anew.
const SETTLING: Duration = Duration::from_millis(1_500);
/// Into how many parts a fan-out splits.
pub(crate) const PARTS: u32 = 10;

/// A payload.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// When it was added, in nanoseconds of this process.
    pub(crate) at: u64,
    pub(crate) pad: String,
}

impl Job {
    pub(crate) fn new() -> Self {
        Self { at: nanos(), pad: "x".repeat(PAD) }
    }
}

/// What a worker is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Jobs that cause nothing.
    Jobs,
    /// Runs of three steps, one after another.
    Chain,
    /// Runs of ten parts, and one step that gathers what came of them.
    Fan,
}

/// What the workloads need of a peer.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// Workers that run.
    type Working: Send;

    /// The most jobs that may wait for its workers.
    const BACKLOG: usize = usize::MAX;
    /// The jobs that warm it up, and tell how many to measure.
    const WARM_UP: usize = 1_000;

    /// Adds plain jobs while no worker runs, in the quickest way that the peer has. This is not measured.
    fn fill(&self, jobs: usize) -> impl Future<Output = Result<()>> + Send;

    /// Adds one plain job, or starts one run.
    fn start(&self, work: Work, job: Job) -> impl Future<Output = Result<()>> + Send;

    /// Starts workers that run so many jobs at a time.
    fn work(&self, work: Work, at: usize) -> impl Future<Output = Result<Self::Working>> + Send;

    /// Ends the workers.
    fn stop(&self, working: Self::Working) -> impl Future<Output = Result<()>> + Send;
}

/// What a program is called with.
pub(crate) struct Args {
    pub(crate) workload: String,
    pub(crate) at: usize,
    pub(crate) seconds: f64,
    pub(crate) store: String,
}

impl Args {
    /// What the program is called with; nothing, where it is called with something else.
    pub(crate) fn of_program() -> Option<Self> {
        let args: Vec<_> = std::env::args().skip(1).collect();
        let [workload, at, seconds, store] = args.get(..4)? else { return None };
        Some(Self {
            workload: workload.clone(),
            at: at.parse().ok()?,
            seconds: seconds.parse().ok()?,
            store: store.clone(),
        })
    }

    /// Whether finished runs are kept as the peer does where nobody says otherwise, since they are weighed.
    pub(crate) fn keeps(&self) -> bool {
        self.workload == "kept"
    }
}

/// Measures what the program was asked for, and prints it.
pub(crate) async fn run<P: Peer>(peer: &P, args: &Args) -> Result<()> {
    let server = Server::at(&args.store);
    let figures = match args.workload.as_str() {
        "drain" => {
            let warm = drain(peer, server.as_ref(), args.at, P::WARM_UP.min(P::BACKLOG)).await?;
            drain(peer, server.as_ref(), args.at, warm.for_seconds(args.seconds).min(P::BACKLOG)).await?
        }
        "live" => {
            let warm = live(peer, server.as_ref(), args.at, P::WARM_UP).await?;
            live(peer, server.as_ref(), args.at, warm.for_seconds(args.seconds)).await?
        }
        "pickup" => {
            let rate = if server.is_some() { PICKUP_RATE } else { EMBEDDED_PICKUP_RATE };
            pickup(peer, server.as_ref(), args.at, rate, rate as usize / 2).await?;
            let jobs = ((rate * args.seconds) as usize).max(100);
            pickup(peer, server.as_ref(), args.at, rate, jobs).await?
        }
        "chain" | "fan" => {
            let work = if args.workload == "chain" { Work::Chain } else { Work::Fan };
            let warm = runs(peer, server.as_ref(), work, args.at, P::WARM_UP / 4).await?;
            runs(peer, server.as_ref(), work, args.at, warm.for_seconds(args.seconds)).await?
        }
        "kept" => {
            let before = settled_bytes(server.as_ref()).await;
            let mut figures = runs(peer, server.as_ref(), Work::Chain, args.at, KEPT_RUNS).await?;
            let after = settled_bytes(server.as_ref()).await;
            // Where nothing is left, the buffers of the server may have shrunk meanwhile.
            figures.bytes = Some(((after - before) / KEPT_RUNS as f64).max(0.0));
            figures
        }
        other => return Err(format!("there is no workload `{other}`").into()),
    };
    println!("{}", figures.json());
    Ok(())
}

/// What the server holds, once it has counted anew what its connections need: it does so every second.
async fn settled_bytes(server: Option<&Server>) -> f64 {
    tokio::time::sleep(SETTLING).await;
    server.map_or(0.0, Server::bytes)
}

/// Drains jobs that wait when the workers start.
async fn drain<P: Peer>(peer: &P, server: Option<&Server>, at: usize, jobs: usize) -> Result<Figures> {
    peer.fill(jobs).await?;
    TALLY.expect(jobs, 0);
    let window = Window::open(server);
    let working = peer.work(Work::Jobs, at).await?;
    TALLY.all_done().await;
    let figures = window.close(jobs, TALLY.ended());
    peer.stop(working).await?;
    Ok(figures)
}

/// Adds jobs from as many places as the workers have, while they run.
async fn live<P: Peer>(peer: &P, server: Option<&Server>, at: usize, jobs: usize) -> Result<Figures> {
    let working = peer.work(Work::Jobs, at).await?;
    TALLY.expect(jobs, 0);
    let added = Arc::new(AtomicUsize::new(0));
    let window = Window::open(server);
    for _ in 0..at {
        let (peer, added) = (peer.clone(), added.clone());
        let adding = async move {
            while added.fetch_add(1, Ordering::Relaxed) < jobs {
                or_die(peer.start(Work::Jobs, Job::new()).await);
            }
        };
        spawn(adding);
    }
    TALLY.all_done().await;
    let figures = window.close(jobs, TALLY.ended());
    peer.stop(working).await?;
    Ok(figures)
}

/// Adds jobs at a steady rate, and notes how long each takes from the call to the first line of its handler.
async fn pickup<P: Peer>(
    peer: &P,
    server: Option<&Server>,
    at: usize,
    rate: f64,
    jobs: usize,
) -> Result<Figures> {
    let working = peer.work(Work::Jobs, at).await?;
    TALLY.expect(jobs, 0);
    let window = Window::open(server);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    for _ in 0..jobs {
        ticks.tick().await;
        let peer = peer.clone();
        spawn(async move { or_die(peer.start(Work::Jobs, Job::new()).await) });
    }
    TALLY.all_done().await;
    let mut figures = window.close(jobs, TALLY.ended());
    let mut waits = TALLY.take_waits();
    waits.sort_unstable();
    let part = |part: f64| waits.get(((waits.len().max(1) - 1) as f64 * part) as usize).copied();
    figures.waits_us = part(0.5).zip(part(0.99)).map(|(p50, p99)| (p50 as f64 / 1e3, p99 as f64 / 1e3));
    peer.stop(working).await?;
    Ok(figures)
}

/// Keeps so many runs under way as the workers have places.
async fn runs<P: Peer>(
    peer: &P,
    server: Option<&Server>,
    work: Work,
    at: usize,
    runs: usize,
) -> Result<Figures> {
    let working = peer.work(work, at).await?;
    TALLY.expect(runs, at);
    let window = Window::open(server);
    for _ in 0..runs {
        TALLY.a_run_may_begin().await;
        let peer = peer.clone();
        spawn(async move { or_die(peer.start(work, Job::new()).await) });
    }
    TALLY.all_done().await;
    let figures = window.close(runs, TALLY.ended());
    peer.stop(working).await?;
    Ok(figures)
}

fn spawn(adding: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::runtime::Handle::current().spawn(adding));
}

/// Ends the program where a peer fails: what it would measure after that is something else.
fn or_die(outcome: Result<()>) {
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// What the handlers report to.
struct Tally {
    done: AtomicUsize,
    expected: AtomicUsize,
    ended: Mutex<Option<Instant>>,
    finished: Notify,
    waits: Mutex<Vec<u64>>,
    places: Semaphore,
}

static TALLY: LazyLock<Tally> = LazyLock::new(|| Tally {
    done: AtomicUsize::new(0),
    expected: AtomicUsize::new(usize::MAX),
    ended: Mutex::new(None),
    finished: Notify::new(),
    waits: Mutex::new(Vec::new()),
    places: Semaphore::new(0),
});

/// The handler of a plain job, or the last one of a run, has nothing left to do.
pub(crate) fn finished() {
    let done = TALLY.done.fetch_add(1, Ordering::Relaxed) + 1;
    if done == TALLY.expected.load(Ordering::Relaxed) {
        *lock(&TALLY.ended) = Some(Instant::now());
        TALLY.finished.notify_one();
    }
    TALLY.places.add_permits(1);
}

/// The handler of a plain job begins, and ends at once. `at` is when the job was added.
pub(crate) fn ran(at: u64) {
    let waited = nanos().saturating_sub(at);
    lock(&TALLY.waits).push(waited);
    finished();
}

impl Tally {
    fn expect(&self, jobs: usize, at_a_time: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.expected.store(jobs, Ordering::Relaxed);
        *lock(&self.ended) = None;
        drop(self.take_waits());
        self.places.forget_permits(usize::MAX);
        self.places.add_permits(at_a_time);
    }

    async fn a_run_may_begin(&self) {
        if let Ok(place) = self.places.acquire().await {
            place.forget();
        }
    }

    async fn all_done(&self) {
        self.finished.notified().await;
    }

    fn ended(&self) -> Instant {
        lock(&self.ended).unwrap_or_else(Instant::now)
    }

    fn take_waits(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.waits))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Nanoseconds since the first call.
fn nanos() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_nanos() as u64
}

/// The time in which something is measured.
struct Window<'a> {
    server: Option<&'a Server>,
    server_us: f64,
    client_us: f64,
    began: Instant,
}

impl<'a> Window<'a> {
    fn open(server: Option<&'a Server>) -> Self {
        let server_us = server.map_or(0.0, Server::cpu_us);
        Self { server, server_us, client_us: cpu_us(), began: Instant::now() }
    }

    fn close(self, done: usize, ended: Instant) -> Figures {
        let client_us = cpu_us() - self.client_us;
        let server_us = self.server.map(|server| server.cpu_us() - self.server_us);
        let seconds = (ended - self.began).as_secs_f64();
        Figures { done, seconds, client_us, server_us, waits_us: None, bytes: None }
    }
}

/// What came of a measurement.
struct Figures {
    done: usize,
    seconds: f64,
    client_us: f64,
    server_us: Option<f64>,
    waits_us: Option<(f64, f64)>,
    bytes: Option<f64>,
}

impl Figures {
    /// How many jobs to measure, so that it takes about so long.
    fn for_seconds(&self, seconds: f64) -> usize {
        let jobs = self.done as f64 / self.seconds.max(1e-6) * seconds;
        (jobs as usize).max(self.done.min(100))
    }

    fn json(&self) -> String {
        let each = |total: f64| total / self.done.max(1) as f64;
        let mut line = serde_json::json!({
            "done": self.done,
            "seconds": self.seconds,
            "clientUs": each(self.client_us),
        });
        let optional = [
            ("serverUs", self.server_us.map(each)),
            ("p50Us", self.waits_us.map(|(p50, _)| p50)),
            ("p99Us", self.waits_us.map(|(_, p99)| p99)),
            ("bytes", self.bytes),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                line[name] = value.into();
            }
        }
        line.to_string()
    }
}

/// The processor time of this process, in the kernel and outside, in microseconds.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The Redis server, asked beside the peer's own connections.
struct Server {
    address: String,
}

impl Server {
    /// The server behind a URL; none behind that of an embedded store.
    fn at(store: &str) -> Option<Self> {
        let rest = store.strip_prefix("redis://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        Some(Self { address: rest[..end].to_owned() })
    }

    /// The processor time that the server has used, in microseconds.
    fn cpu_us(&self) -> f64 {
        let info = self.info("cpu");
        (field(&info, "used_cpu_sys") + field(&info, "used_cpu_user")) * 1e6
    }

    /// The memory of what it holds, without what its connections need.
    fn bytes(&self) -> f64 {
        let info = self.info("memory");
        field(&info, "used_memory") - field(&info, "mem_clients_normal")
    }

    fn info(&self, section: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.address)?;
            write!(stream, "INFO {section}\r\nQUIT\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }
}

fn field(info: &str, name: &str) -> f64 {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}
