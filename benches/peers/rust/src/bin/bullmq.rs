//! What BullMQ's own Rust crate, `bullmq-official`, does in `cargo xtask bench peers`.
//!
//! Set up as its documentation recommends for speed: one worker with a local concurrency factor
//! (docs.bullmq.io/guide/workers/concurrency), finished jobs removed at once
//! (docs.bullmq.io/guide/workers/auto-removal-of-jobs, the simplest and leanest of its strategies), and bulk adding
//! (docs.bullmq.io/guide/queues/adding-bulks). Connections are multiplexed by the crate. Chains and fan-outs are its
//! flows (docs.bullmq.io/guide/flows): a parent waits for its children, so the last step of a chain is the root.

#[path = "../../../measure.rs"]
mod measure;

use std::sync::Arc;

use bullmq::options::RedisConnectionOptions;
use bullmq::types::RemoveOnFinish;
use bullmq::worker::CancellationToken;
use bullmq::{
    BulkJob, FlowJob, FlowProducer, FlowProducerOptions, JobOptions, Queue, QueueOptions, Worker,
    WorkerOptions,
};
use serde_json::{Value, json};

use self::measure::{Args, Job, PARTS, Peer, Result, Work};

const QUEUE: &str = "bench";
/// How many jobs one bulk holds.
const BULK: usize = 500;

#[derive(Clone)]
struct Bull {
    connection: RedisConnectionOptions,
    queue: Arc<Queue>,
    flows: FlowProducer,
    /// Whether finished jobs stay, which is the default.
    keeps: bool,
}

impl Bull {
    async fn open(args: &Args) -> Result<Self> {
        let connection = RedisConnectionOptions::new().url(args.store.clone());
        let keeps = args.keeps();
        let options = QueueOptions::new().connection(connection.clone()).default_job_options(options(keeps));
        let queue = Arc::new(Queue::with_options(QUEUE, options).await?);
        let flows =
            FlowProducer::with_options(FlowProducerOptions::new().connection(connection.clone())).await?;
        Ok(Self { connection, queue, flows, keeps })
    }

    fn step(&self, name: &str, data: Value) -> Result<FlowJob> {
        Ok(FlowJob::new(name, QUEUE, data)?.options(options(self.keeps)))
    }
}

fn options(keeps: bool) -> JobOptions {
    let options = JobOptions::new();
    if keeps { options } else { options.remove_on_complete(RemoveOnFinish::Bool(true)) }
}

fn payload(job: Job) -> Value {
    json!({ "at": job.at, "pad": job.pad })
}

impl Peer for Bull {
    type Working = Worker;

    async fn fill(&self, jobs: usize) -> Result<()> {
        let mut left = jobs;
        while left > 0 {
            let bulk = left.min(BULK);
            left -= bulk;
            let jobs = (0..bulk).map(|_| BulkJob::new("job", payload(Job::new())));
            self.queue.add_bulk(jobs.collect()).await?;
        }
        Ok(())
    }

    async fn start(&self, work: Work, job: Job) -> Result<()> {
        match work {
            Work::Jobs => drop(self.queue.add("job", payload(job)).await?),
            Work::Chain => {
                let data = payload(job);
                let first = self.step("first", data.clone())?;
                let second = self.step("second", data.clone())?.add_child(first);
                self.flows.add(self.step("third", data)?.add_child(second)).await?;
            }
            Work::Fan => {
                let pad = job.pad;
                let part = |number| self.step("part", json!({ "number": number, "pad": pad }));
                let parts = (0..PARTS).map(part).collect::<Result<Vec<_>>>()?;
                self.flows.add(self.step("gather", json!({}))?.children(parts)).await?;
            }
        }
        Ok(())
    }

    async fn work(&self, _: Work, at: usize) -> Result<Worker> {
        let options = WorkerOptions::new().connection(self.connection.clone()).concurrency(at);
        Ok(Worker::with_options(QUEUE, handle, options).await?)
    }

    async fn stop(&self, working: Worker) -> Result<()> {
        Ok(working.close(5_000).await?)
    }
}

async fn handle(job: bullmq::Job, _: CancellationToken) -> std::result::Result<Value, bullmq::Error> {
    match job.name() {
        "job" => measure::ran(job.data()["at"].as_u64().unwrap_or_default()),
        "third" => measure::finished(),
        "part" => return Ok(job.data()["number"].clone()),
        "gather" => {
            let parts = job.get_children_values().await?;
            let sum: u64 = parts.values().filter_map(Value::as_u64).sum();
            measure::finished();
            return Ok(sum.into());
        }
        _ => {}
    }
    Ok(Value::Null)
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::of_program().ok_or("WORKLOAD AT SECONDS STORE")?;
    measure::run(&Bull::open(&args).await?, &args).await
}
