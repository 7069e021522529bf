//! What `duroxide` does on SQLite in `cargo xtask bench peers`.
//!
//! Set up as its README shows: the SQLite provider on a file, which turns the write-ahead log on and tunes the cache by
//! itself. Two dispatchers of each kind, the default, are also what its own stress tests find fastest on a file. An idle
//! dispatcher sleeps 10 ms in place of 100, for which it has an option. A plain job is an orchestration with one
//! activity, the least that does something durably.

#[path = "../../../measure.rs"]
mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry};

use self::measure::{Args, Job, PARTS, Peer, Result, Work};

#[derive(Clone)]
struct Duroxide {
    store: Arc<SqliteProvider>,
    client: Arc<Client>,
    instances: Arc<AtomicU64>,
}

impl Duroxide {
    async fn open(path: &str) -> Result<Self> {
        std::fs::File::create(path)?;
        let store = Arc::new(SqliteProvider::new(&format!("sqlite:{path}"), None).await?);
        let client = Arc::new(Client::new(store.clone()));
        Ok(Self { store, client, instances: Arc::default() })
    }
}

fn activities() -> ActivityRegistry {
    ActivityRegistry::builder()
        .register("plain", |_: ActivityContext, input: String| async move {
            measure::ran(input.split(' ').next().and_then(|at| at.parse().ok()).unwrap_or_default());
            Ok(String::new())
        })
        .register("step", |_: ActivityContext, input: String| async move { Ok(input) })
        .register("last", |_: ActivityContext, input: String| async move {
            drop(input);
            measure::finished();
            Ok(String::new())
        })
        .register("count", |_: ActivityContext, input: String| async move {
            Ok(input.split(' ').next().unwrap_or_default().to_owned())
        })
        .build()
}

fn orchestrations() -> OrchestrationRegistry {
    OrchestrationRegistry::builder()
        .register("job", |ctx: OrchestrationContext, input: String| async move {
            ctx.schedule_activity("plain", input).await
        })
        .register("chain", |ctx: OrchestrationContext, input: String| async move {
            let first = ctx.schedule_activity("step", input).await?;
            let second = ctx.schedule_activity("step", first).await?;
            ctx.schedule_activity("last", second).await
        })
        .register("fan", |ctx: OrchestrationContext, input: String| async move {
            let part = |number| ctx.schedule_activity("count", format!("{number} {input}"));
            let counted = ctx.join((0..PARTS).map(part).collect::<Vec<_>>()).await;
            let numbers = counted.into_iter().collect::<std::result::Result<Vec<_>, String>>()?;
            // What gathers is an activity, like the last step of the others: an orchestration is replayed.
            ctx.schedule_activity("last", numbers.join(" ")).await
        })
        .build()
}

impl Peer for Duroxide {
    type Working = Arc<Runtime>;

    const WARM_UP: usize = 40;

    async fn fill(&self, jobs: usize) -> Result<()> {
        for _ in 0..jobs {
            self.start(Work::Jobs, Job::new()).await?;
        }
        Ok(())
    }

    async fn start(&self, work: Work, job: Job) -> Result<()> {
        let instance = format!("run-{}", self.instances.fetch_add(1, Ordering::Relaxed));
        let (name, input) = match work {
            Work::Jobs => ("job", format!("{} {}", job.at, job.pad)),
            Work::Chain => ("chain", job.pad),
            Work::Fan => ("fan", job.pad),
        };
        Ok(self.client.start_orchestration(instance, name, input).await?)
    }

    async fn work(&self, _: Work, _: usize) -> Result<Arc<Runtime>> {
        let options = RuntimeOptions {
            dispatcher_min_poll_interval: Duration::from_millis(10),
            ..RuntimeOptions::default()
        };
        let (activities, orchestrations) = (activities(), orchestrations());
        Ok(Runtime::start_with_options(self.store.clone(), activities, orchestrations, options).await)
    }

    async fn stop(&self, working: Arc<Runtime>) -> Result<()> {
        working.shutdown(Some(1_000)).await;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::of_program().ok_or("WORKLOAD AT SECONDS STORE")?;
    let path = args.store.strip_prefix("sqlite:").ok_or("duroxide is measured on SQLite")?;
    measure::run(&Duroxide::open(path).await?, &args).await
}
