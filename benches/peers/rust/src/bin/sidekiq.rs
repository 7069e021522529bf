//! What `rusty-sidekiq` does in `cargo xtask bench peers`.
//!
//! Set up as its README recommends for speed: one pool of connections to add jobs and another one to fetch them
//! ("Separate enqueue vs fetch connection pools"), the latter no smaller than the number of workers, and as many
//! workers as jobs run at a time ("Customizing the number of worker tasks"). It has no bulk add and no flows: a chain
//! is built of workers that add the next job, as its README shows how to add one. It takes a job off its list before
//! it runs it (`BRPOP`), so that a crash loses the job; the other peers here lose none.

#[path = "../../../measure.rs"]
mod measure;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use sidekiq::{Processor, ProcessorConfig, RedisConnectionManager, RedisPool, Worker, WorkerOpts};
use tokio::task::JoinHandle;

use self::measure::{Args, Job, Peer, Result, Work};

const QUEUE: &str = "bench";
/// Connections for adding jobs: as many as add at a time.
const ADDING: u32 = 50;

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

#[derive(Clone)]
struct Plain;

#[async_trait]
impl Worker<Payload> for Plain {
    fn opts() -> WorkerOpts<Payload, Self> {
        WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, job: Payload) -> sidekiq::Result<()> {
        measure::ran(job.at);
        Ok(())
    }
}

#[derive(Clone)]
struct First(RedisPool);

#[async_trait]
impl Worker<Payload> for First {
    fn opts() -> WorkerOpts<Payload, Self> {
        WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, job: Payload) -> sidekiq::Result<()> {
        Second::perform_async(&self.0, job).await
    }
}

#[derive(Clone)]
struct Second(RedisPool);

#[async_trait]
impl Worker<Payload> for Second {
    fn opts() -> WorkerOpts<Payload, Self> {
        WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, job: Payload) -> sidekiq::Result<()> {
        Third::perform_async(&self.0, job).await
    }
}

#[derive(Clone)]
struct Third;

#[async_trait]
impl Worker<Payload> for Third {
    fn opts() -> WorkerOpts<Payload, Self> {
        WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, job: Payload) -> sidekiq::Result<()> {
        drop(job);
        measure::finished();
        Ok(())
    }
}

#[derive(Clone)]
struct Sidekiq {
    url: String,
    adding: RedisPool,
}

impl Sidekiq {
    async fn open(url: &str) -> Result<Self> {
        Ok(Self { url: url.to_owned(), adding: pool(url, ADDING).await? })
    }
}

/// A pool whose connections stand before anything is measured.
async fn pool(url: &str, connections: u32) -> Result<RedisPool> {
    let manager = RedisConnectionManager::new(url)?;
    Ok(bb8::Pool::builder().max_size(connections).min_idle(connections).build(manager).await?)
}

impl Peer for Sidekiq {
    type Working = JoinHandle<()>;

    async fn fill(&self, jobs: usize) -> Result<()> {
        let adds = futures_util::stream::iter(0..jobs).map(|_| self.start(Work::Jobs, Job::new()));
        adds.buffer_unordered(ADDING as usize).try_collect().await
    }

    async fn start(&self, work: Work, job: Job) -> Result<()> {
        match work {
            Work::Jobs => Plain::perform_async(&self.adding, job.into()).await?,
            Work::Chain => First::perform_async(&self.adding, job.into()).await?,
            Work::Fan => return Err("rusty-sidekiq has nothing that waits for several jobs".into()),
        }
        Ok(())
    }

    async fn work(&self, _: Work, at: usize) -> Result<JoinHandle<()>> {
        // Each worker holds a connection while it waits; statistics and the poller of scheduled jobs need some, too.
        let fetching = pool(&self.url, u32::try_from(at)? + 4).await?;
        let mut processor = Processor::new(fetching, vec![QUEUE.to_owned()])
            .with_config(ProcessorConfig::default().num_workers(at));
        processor.register(Plain);
        processor.register(First(self.adding.clone()));
        processor.register(Second(self.adding.clone()));
        processor.register(Third);
        Ok(tokio::spawn(processor.run()))
    }

    async fn stop(&self, working: JoinHandle<()>) -> Result<()> {
        working.abort();
        let _ = working.await;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::of_program().ok_or("WORKLOAD AT SECONDS STORE")?;
    measure::run(&Sidekiq::open(&args.store).await?, &args).await
}
