//! The progress bar: it follows the timeline of the run, so it shows what is recorded, whoever does the work.

use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use nq::{Entry, EntryType, Event, Worker};

use crate::flow::{PackageLocked, inspect};

/// Shows the run until its last entry, or the end of its timeline.
pub(crate) async fn show<E>(timeline: impl Stream<Item = Result<Entry, E>>) -> Result<(), E> {
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template("{bar:40.cyan/dim} {pos} of {len} packages, {elapsed}  {msg:.dim}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut timeline = std::pin::pin!(timeline);
    while let Some(entry) = timeline.next().await {
        fold(&bar, &entry?);
    }
    bar.finish_and_clear();
    Ok(())
}

fn fold(bar: &ProgressBar, entry: &Entry) {
    let worker = entry.step.as_ref().map(|step| step.worker().as_str());
    match entry.kind {
        EntryType::EventEmitted if entry.data["name"] == PackageLocked::DEF.name => bar.inc_length(1),
        EntryType::StepCompleted if worker == Some(inspect::DEF.name) => bar.inc(1),
        EntryType::StepStarted => bar.set_message(worker.unwrap_or_default().to_owned()),
        EntryType::StepRetrying => {
            bar.println(format!("trying again: {}", entry.data["error"].as_str().unwrap_or_default()));
        }
        _ => {}
    }
}
