//! State is a fold over the timeline: what it is now, and what it was after any entry.

use nq::prelude::*;

#[nq::event]
struct RaceStarted {
    laps: u32,
}

#[nq::event]
struct LapRun {
    lap: u32,
}

#[nq::worker(flow = "race", emits = [LapRun])]
async fn start(race: RaceStarted, ctx: Ctx<start>) -> nq::Result<()> {
    ctx.state().set("laps", &race.laps)?;
    for lap in 1..=race.laps {
        ctx.emit(LapRun { lap })?;
    }
    Ok(())
}

/// These steps run at the same time, and each sees the state as of its beginning, with its own changes on top. So to
/// count together, they do not read the number and set it: they say by how much it grows.
#[nq::worker(flow = "race", subscribes = [LapRun])]
async fn count(run: LapRun, ctx: Ctx<count>) -> nq::Result<()> {
    let laps: Option<u32> = ctx.state().get("laps").await?;
    tracing::info!(lap = run.lap, laps, "a lap was run");
    ctx.state().incr("run", 1)?;
    Ok(())
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("memory:").await?.start().await?;
    let run = nq.start::<start>(RaceStarted { laps: 3 }).await?;
    run.completed().await?;
    for entry in run.entries(vec![nq::EntryType::StateSet, nq::EntryType::StateBatch]).await? {
        println!("then: {}", serde_json::to_string(&run.state_at(entry.id).await?)?);
    }
    println!("now:  {}", serde_json::to_string(&run.state().await?)?);
    nq.shutdown().await?;
    Ok(())
}
