//! What `apalis` with `apalis-redis` does in `cargo xtask bench peers`.
//!
//! Set up as its documentation recommends for speed: large batches ("Larger batches can improve throughput", `Config`),
//! no locks for tasks that are shorter than a heartbeat (`Config::lock_tasks`), no events, since nobody listens
//! (`Config::emit_events`), and bulk pushes (`TaskSink::push_bulk`). Chains are its `SteppedFlow` with `and_then`,
//! fan-outs its `filter_map`, which its README calls map-reduce. Results are kept: where they are not, a finished task
//! is never acknowledged.

#[path = "../../../measure.rs"]
mod measure;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::*;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use apalis_workflow::{SteppedFlow, WorkflowSink as _};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Interval;

use self::measure::{Args, Job, PARTS, Peer, Work};

/// How many tasks are fetched, and pushed, in one call.
const BATCH: usize = 100;
/// How often an idle worker looks for tasks: nothing wakes it when one is pushed.
const POLL: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payload {
    at: u64,
    pad: String,
}

impl From<Job> for Payload {
    fn from(Job { at, pad }: Job) -> Self {
        Self { at, pad }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    number: u32,
    pad: String,
}

/// Wakes the worker at a steady interval.
///
/// `poll_with_interval` would do so, too, but for intervals this short it often forgets to: where a poll takes longer
/// than the interval, the timer has fired before anything waits for it, and the worker sleeps until its heartbeat, half
/// a minute later. This one always leaves a timer that wakes.
#[derive(Debug)]
struct Steady(Interval);

impl Steady {
    fn new() -> Self {
        let mut interval = tokio::time::interval(POLL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self(interval)
    }
}

impl Clone for Steady {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl PollStrategy for Steady {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut ticked = Poll::Pending;
        while Pin::new(&mut self.0).poll_tick(cx).is_ready() {
            ticked = Poll::Ready(Some(()));
        }
        ticked
    }
}

type Polled<T> = PollWith<RedisStorage<T>, Steady>;

#[derive(Clone)]
struct Apalis {
    connection: ConnectionManager,
}

impl Apalis {
    fn queue<T>(&self, name: &str) -> RedisStorage<T> {
        let config = Config::default().queue(name).batch_size(BATCH).lock_tasks(false).emit_events(false);
        RedisStorage::new(self.connection.clone()).with_config(config)
    }

    /// The queue for a worker.
    fn polled<T: Send + Sync + 'static>(&self, name: &str) -> Polled<T> {
        self.queue(name).poll_with_strategy(Steady::new())
    }
}

async fn plain(job: Payload) -> Result<(), BoxDynError> {
    measure::ran(job.at);
    Ok(())
}

async fn step(job: Payload) -> Result<Payload, BoxDynError> {
    Ok(job)
}

async fn last(job: Payload) -> Result<(), BoxDynError> {
    drop(job);
    measure::finished();
    Ok(())
}

async fn count(part: Part) -> Option<u32> {
    Some(part.number)
}

async fn add_up(counted: Vec<u32>) -> Result<u32, BoxDynError> {
    let sum = counted.iter().sum();
    measure::finished();
    Ok(sum)
}

impl Peer for Apalis {
    type Working = (JoinHandle<()>, oneshot::Sender<()>);

    // A worker dies where more wait for it at its start: its script hands all of them to one `unpack` of Lua.
    const BACKLOG: usize = 7_000;

    async fn fill(&self, jobs: usize) -> measure::Result<()> {
        let mut storage = self.queue::<Payload>("jobs");
        let mut left = jobs;
        while left > 0 {
            let bulk = left.min(BATCH);
            left -= bulk;
            storage.push_bulk((0..bulk).map(|_| Payload::from(Job::new())).collect()).await?;
        }
        Ok(())
    }

    async fn start(&self, work: Work, job: Job) -> measure::Result<()> {
        match work {
            Work::Jobs => self.queue::<Payload>("jobs").push(Payload::from(job)).await?,
            Work::Chain => self.queue::<Payload>("chain").push_start(Payload::from(job)).await?,
            Work::Fan => {
                let part = |number| Part { number, pad: job.pad.clone() };
                self.queue::<Vec<Part>>("fan").push_start((0..PARTS).map(part).collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    }

    async fn work(&self, work: Work, at: usize) -> measure::Result<Self::Working> {
        // A name must not come again while the server remembers the worker that had it.
        static WORKERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bench-{}", WORKERS.fetch_add(1, Ordering::Relaxed));
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            let _ = stopped.await;
            Ok::<_, WorkerError>(())
        };
        let builder = WorkerBuilder::new(name);
        let running = match work {
            Work::Jobs => {
                let worker = builder.backend(self.polled::<Payload>("jobs")).concurrency(at).build(plain);
                tokio::spawn(async move { or_die(worker.run_until(until).await) })
            }
            Work::Chain => {
                let flow = SteppedFlow::new("chain").and_then(step).and_then(step).and_then(last);
                let worker = builder.backend(self.polled::<Payload>("chain")).concurrency(at).build(flow);
                tokio::spawn(async move { or_die(worker.run_until(until).await) })
            }
            Work::Fan => {
                let flow = SteppedFlow::new("fan").filter_map(count).and_then(add_up);
                let worker = builder.backend(self.polled::<Vec<Part>>("fan")).concurrency(at).build(flow);
                tokio::spawn(async move { or_die(worker.run_until(until).await) })
            }
        };
        Ok((running, stop))
    }

    async fn stop(&self, (running, stop): Self::Working) -> measure::Result<()> {
        let _ = stop.send(());
        let _ = running.await;
        Ok(())
    }
}

/// Ends the program where a worker fails.
fn or_die(outcome: Result<(), WorkerError>) {
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

#[tokio::main]
async fn main() -> measure::Result<()> {
    let args = Args::of_program().ok_or("WORKLOAD AT SECONDS STORE")?;
    let connection = apalis_redis::connect(args.store.clone()).await?;
    measure::run(&Apalis { connection }, &args).await
}
