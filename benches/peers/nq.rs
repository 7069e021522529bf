//! What nq does in `cargo xtask bench peers`.
//!
//! Set up as the README and `docs/` show it: nothing of the builder is turned but how many steps run at a time, which is
//! what the workloads are about. What adds jobs shares nothing with the workers but the Redis server, like the peers'
//! queues beside their workers; an embedded store is shared within the process.

mod measure;

use nq::prelude::*;
use nq::{Builder, Client, Nq};

use self::measure::{Args, Job, PARTS, Peer, Result, Work};

#[nq::event]
struct Plain {
    at: u64,
    pad: String,
}

#[nq::worker]
async fn plain(job: Plain) -> nq::Result<()> {
    measure::ran(job.at);
    drop(job.pad);
    Ok(())
}

#[nq::event]
struct Asked {
    pad: String,
}

#[nq::event]
struct Half {
    pad: String,
}

#[nq::event]
struct Whole {
    pad: String,
}

#[nq::worker(flow = "chain", emits = [Half])]
async fn first(asked: Asked, ctx: Ctx<first>) -> nq::Result<()> {
    ctx.emit(Half { pad: asked.pad })?;
    Ok(())
}

#[nq::worker(flow = "chain", subscribes = [Half], emits = [Whole])]
async fn second(half: Half, ctx: Ctx<second>) -> nq::Result<()> {
    ctx.emit(Whole { pad: half.pad })?;
    Ok(())
}

#[nq::worker(flow = "chain", subscribes = [Whole])]
async fn third(whole: Whole) -> nq::Result<()> {
    drop(whole.pad);
    measure::finished();
    Ok(())
}

#[nq::event]
struct Batch {
    pad: String,
}

#[nq::event]
struct Part {
    number: u32,
    pad: String,
}

#[nq::event]
struct Counted {
    number: u32,
}

#[nq::worker(flow = "fan", emits = [Part])]
async fn split(batch: Batch, ctx: Ctx<split>) -> nq::Result<()> {
    for number in 0..PARTS {
        ctx.emit(Part { number, pad: batch.pad.clone() })?;
    }
    Ok(())
}

#[nq::worker(flow = "fan", subscribes = [Part], emits = [Counted])]
async fn count(part: Part, ctx: Ctx<count>) -> nq::Result<()> {
    drop(part.pad);
    ctx.emit(Counted { number: part.number })?;
    Ok(())
}

#[nq::worker(flow = "fan", gathers = [Counted])]
async fn add_up(counted: Vec<Counted>) -> nq::Result<u32> {
    let sum = counted.iter().map(|counted| counted.number).sum();
    measure::finished();
    Ok(sum)
}

nq::registry!();

/// How many starts are under way while jobs are added for nobody yet. They share round trips.
const FILLING: usize = 256;

#[derive(Clone)]
struct Queue {
    store: String,
    client: Client,
}

impl Queue {
    async fn open(store: &str) -> nq::Result<Self> {
        // Without an append-only file Redis keeps nothing over a restart, and nq wants to hear that this is meant.
        let store = match store.strip_prefix("redis://") {
            Some(server) => format!("redis://{server}/?allow_volatile=true"),
            None => store.to_owned(),
        };
        let client = nq::open(&store).await?.client()?;
        Ok(Self { store, client })
    }

    async fn builder(&self) -> nq::Result<Builder> {
        if self.store.starts_with("redis://") {
            return Ok(nq::open(&self.store).await?);
        }
        Ok(Builder::new(self.client.store().clone()))
    }
}

impl Peer for Queue {
    type Working = Nq;

    async fn fill(&self, jobs: usize) -> Result<()> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        let starts = futures_util::stream::iter(0..jobs).map(|_| self.start(Work::Jobs, Job::new()));
        starts.buffer_unordered(FILLING).try_collect().await
    }

    async fn start(&self, work: Work, job: Job) -> Result<()> {
        let Job { at, pad } = job;
        let run = match work {
            Work::Jobs => self.client.start::<plain>(Plain { at, pad }).await?,
            Work::Chain => self.client.start::<first>(Asked { pad }).await?,
            Work::Fan => self.client.start::<split>(Batch { pad }).await?,
        };
        drop(run);
        Ok(())
    }

    async fn work(&self, _: Work, at: usize) -> Result<Nq> {
        let at = u32::try_from(at)?;
        Ok(self.builder().await?.concurrency(at).start().await?)
    }

    async fn stop(&self, working: Nq) -> Result<()> {
        Ok(working.shutdown().await?)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let Some(args) = Args::of_program() else {
        println!("`cargo xtask bench peers` runs this program, beside those of the peers");
        return Ok(());
    };
    measure::run(&Queue::open(&args.store).await?, &args).await
}
