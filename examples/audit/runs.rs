//! Finds the run for an audit of a lock file: one that goes on, one that is finished, or a new one.

use std::fmt::Write;
use std::io;

use comfy_table::{Table, presets};
use nq::{Client, EntryType, Run, RunStatus};

use crate::flow::{AuditRequested, read_lockfile};
use crate::lockfile::Lockfile;
use crate::timeline;

/// A run of an audit, and how it came to be.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It was started just now.
    New(Run),
    /// It existed already, and is not finished.
    Resumed(Run),
    /// It existed already, and has a report.
    Finished(Run),
}

/// Finds the run for this lock file, or starts it.
///
/// The id of the first run is made from the content and the place of the lock file; later runs have a number after it.
/// So two processes that are started together start one run.
pub(crate) async fn begin(nq: &Client, lockfile: &Lockfile, again: bool) -> nq::Result<Begun> {
    let base = lockfile.run_id();
    let number = match latest(nq, &base).await? {
        None => 1,
        Some((_, run, RunStatus::Running)) => return Ok(Begun::Resumed(run)),
        Some((_, run, RunStatus::Completed)) if !again => return Ok(Begun::Finished(run)),
        Some((number, ..)) => number + 1,
    };
    let id = if number == 1 { base } else { format!("{base}.{number}") };
    let asked = AuditRequested { lockfile: lockfile.path.display().to_string(), hash: lockfile.hash.clone() };
    Ok(Begun::New(nq.start::<read_lockfile>(asked).id(id).await?))
}

/// The newest run with this id or this id and a number.
async fn latest(nq: &Client, base: &str) -> nq::Result<Option<(u32, Run, RunStatus)>> {
    let mut runs = nq.runs().flow("audit");
    loop {
        let page = runs.clone().page().await?;
        for summary in page.runs {
            let rest = summary.run.as_str().strip_prefix(base);
            let number = match rest {
                Some("") => Some(1),
                rest => rest.and_then(|rest| rest.strip_prefix('.')?.parse().ok()),
            };
            if let Some(number) = number {
                return Ok(Some((number, nq.run(&summary.run)?, summary.status)));
            }
        }
        match page.next {
            Some(next) => runs = runs.after(next),
            None => return Ok(None),
        }
    }
}

/// Prints the runs in the store, newest first.
pub(crate) async fn list(nq: &Client, out: &mut impl io::Write) -> nq::Result<()> {
    let runs = nq.runs().flow("audit").all().await?;
    if runs.is_empty() {
        writeln!(out, "no runs yet")?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["run", "status", "started (UTC)", "took", "inspected", "lock file"]);
    for summary in runs {
        let run = nq.run(&summary.run)?;
        let state = run.state().await?;
        let count = |key: &str| state.get(key).and_then(serde_json::Value::as_u64);
        let started = run.entries(vec![EntryType::FlowStarted]).await?;
        let lockfile = started.first().and_then(|entry| entry.data["input"]["lockfile"].as_str());
        let mut inspected = count("inspected").unwrap_or_default().to_string();
        if let Some(packages) = count("packages") {
            let _ = write!(inspected, " of {packages}");
        }
        table.add_row([
            summary.run.to_string(),
            summary.status.to_string(),
            timeline::date_time(summary.started_ms),
            summary.ended_ms.map_or("…".into(), |ended| timeline::seconds(ended - summary.started_ms)),
            inspected,
            lockfile.unwrap_or_default().to_owned(),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn lockfile(path: &str) -> Lockfile {
        Lockfile { path: PathBuf::from(path), hash: "h".into(), packages: Vec::new() }
    }

    #[tokio::test]
    async fn an_unfinished_run_goes_on_and_one_that_ended_badly_is_begun_anew() {
        let nq = nq::open("memory:").await.unwrap().client().unwrap();
        let (a, b) = (lockfile("/a/Cargo.lock"), lockfile("/b/Cargo.lock"));
        let Begun::New(first) = begin(&nq, &a, false).await.unwrap() else { panic!("it is new") };
        assert_eq!(first.id().as_str(), a.run_id());
        let Begun::New(_) = begin(&nq, &b, false).await.unwrap() else {
            panic!("another file is another run")
        };
        for again in [false, true] {
            let Begun::Resumed(run) = begin(&nq, &a, again).await.unwrap() else { panic!("it goes on") };
            assert_eq!(run.id(), first.id());
        }
        for number in 2..4 {
            let (_, run, _) = latest(&nq, &a.run_id()).await.unwrap().unwrap();
            run.cancel("for a test").await.unwrap();
            let Begun::New(next) = begin(&nq, &a, false).await.unwrap() else { panic!("it is new") };
            assert_eq!(next.id().as_str(), format!("{}.{number}", a.run_id()));
        }
    }
}
