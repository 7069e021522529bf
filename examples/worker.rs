//! A worker process that runs for ever: it works until it is told to stop, and then shuts down in order.
//! Start as many as you like; give them the same store. The first argument is the URL of the store.

use nq::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::prelude::*;

#[nq::event]
struct ReportAsked {
    month: String,
}

#[nq::worker(flow = "report", timeout = "5m")]
async fn write_report(asked: ReportAsked, ctx: Ctx<write_report>) -> nq::Result<String> {
    // A step that takes long looks whether it should stop: its run was cancelled, or the process is going.
    for page in 1..=3 {
        if ctx.is_stopping() {
            return Err(nq::Error::msg("stopped before the report was written"));
        }
        tracing::info!(page, "a page is written");
    }
    Ok(format!("report of {}", asked.month))
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    // Log lines go to the terminal, and those of steps into the timelines of their runs, too.
    tracing_subscriber::registry().with(tracing_subscriber::fmt::layer()).with(nq::log::layer()).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite:reports.db".into());
    let nq = nq::open(&url).await?.start().await?;
    // Ctrl-C, and what service managers send: systemd, Kubernetes, docker.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("working on {url}");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        // The store cannot be worked with any more. A store that is only away for a while is waited for.
        why = nq.stopped() => why?,
    }
    // Steps that run have 25 s (`.grace(…)`) to finish; what has not finished goes back to its queue.
    nq.shutdown().await?;
    Ok(())
}
