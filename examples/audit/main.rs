//! Audits what a `Cargo.lock` brings in, as a durable flow: kill it, start it again, and it goes on.

mod cli;
mod flow;
mod lockfile;
mod measure;
mod progress;
mod report;
mod runs;
mod source;
mod timeline;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use nq::{Nq, Run};

use crate::cli::Cli;
use crate::flow::Inspector;
use crate::lockfile::{Lockfile, LockfileError};
use crate::report::Report;
use crate::runs::Begun;

nq::registry!();

/// The exit code of a program that Ctrl-C ended, as shells report it.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let error = match act(Cli::parse()).await {
        Ok(code) => return code,
        Err(error) => error,
    };
    // The reader of the output has closed the pipe.
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|error| error.downcast_ref().is_some_and(is_closed)) {
        return ExitCode::SUCCESS;
    }
    say(&format!("error: {error:?}"));
    let of_lockfile = error.chain().any(<dyn std::error::Error>::is::<LockfileError>);
    ExitCode::from(if of_lockfile { 2 } else { 1 })
}

/// Prints a message beside the output.
fn say(text: &str) {
    // If it cannot be printed, nothing can be done about that.
    let _ = writeln!(io::stderr(), "{text}");
}

async fn act(cli: Cli) -> nq::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout());
    if cli.list || cli.timeline.is_some() {
        let client = nq::open(&cli.store).await?.client()?;
        match &cli.timeline {
            Some(run) => timeline::print(&client.run(run)?, &mut out).await?,
            None => runs::list(&client, &mut out).await?,
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    // The file is read before anything starts, so that a mistyped path makes no failed run.
    let lockfile = if cli.worker { None } else { Some(Lockfile::read(&cli.lockfile)?) };
    let cargo_home =
        source::cargo_home().ok_or_else(|| nq::Error::msg("there is no home directory: set CARGO_HOME"))?;
    let inspector = Inspector { cargo_home, delay: cli.delay() };
    let nq = nq::open(&cli.store).await?.data(inspector).lease(cli.lease()).start().await?;
    let ended = tokio::select! {
        ended = work(&nq, &cli, lockfile.as_ref(), &mut out) => ended,
        stopped = nq.stopped() => stopped.map(|()| ExitCode::SUCCESS).map_err(nq::Error::from),
        _ = tokio::signal::ctrl_c() => {
            say("interrupted: start it again with the same arguments, and it goes on");
            Ok(ExitCode::from(INTERRUPTED))
        }
    };
    tokio::select! {
        stopped = nq.shutdown() => stopped?,
        // The packages that are being inspected are finished first; a second Ctrl-C ends that. Nothing is lost.
        _ = tokio::signal::ctrl_c() => std::process::exit(INTERRUPTED.into()),
    }
    ended
}

/// Works until the report is there, or, as a worker only, for ever.
async fn work(nq: &Nq, cli: &Cli, lockfile: Option<&Lockfile>, out: &mut impl Write) -> nq::Result<ExitCode> {
    let Some(lockfile) = lockfile else {
        say(&format!("working on the audits in {}; Ctrl-C ends it", cli.shown_store()));
        return std::future::pending().await;
    };
    let (run, finished) = match runs::begin(nq, lockfile, cli.again).await? {
        Begun::New(run) => {
            say(&format!("audit of {}: run {}", lockfile.path.display(), run.id()));
            (run, false)
        }
        Begun::Resumed(run) => {
            let inspected = run.state().await?.get("inspected").and_then(serde_json::Value::as_u64);
            let (inspected, all) = (inspected.unwrap_or_default(), lockfile.packages.len());
            say(&format!("run {} goes on: {inspected} of {all} packages are inspected", run.id()));
            (run, false)
        }
        Begun::Finished(run) => {
            say(&format!("run {} is finished; `--again` begins a new one", run.id()));
            (run, true)
        }
    };
    if !finished {
        progress::show(run.timeline()).await?;
    }
    let report = result(&run).await?;
    let markdown = report.markdown(&lockfile.path.display().to_string());
    std::fs::write(&cli.output, &markdown).map_err(|error| {
        nq::Error::msg(format!("the report cannot be written to `{}`: {error}", cli.output.display()))
    })?;
    writeln!(out, "{}", report.table(cli.rows()))?;
    writeln!(out, "The whole report: {}", cli.output.display())?;
    writeln!(out, "What happened:    audit --store {} --timeline {}", cli.shown_store(), run.id())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn result(run: &Run) -> nq::Result<Report> {
    let report = run.completed().await?.result()?;
    report.ok_or_else(|| nq::Error::msg(format!("run {} has no report: audit with `--again`", run.id())))
}
