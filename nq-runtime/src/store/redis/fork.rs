//! The beginning of a run that goes on from what another has done: its timeline in pages, then all the rest at once.

use nq_core::entry::data::StepRetrying;
use nq_core::entry::{Entry, NewEntry};
use nq_core::fork::Fork;
use nq_core::id::EntryId;
use nq_core::limits::MAX_TURN_WRITES;
use nq_core::record::JobRecord;
use nq_core::store::{ErrorKind, Started, StoreError};
use nq_core::transaction::Start;

use super::acts::existing;
use super::codec::{entry_text, gather_line, spec_text};
use super::errors::garbled;
use super::keys::word;
use super::library::Call;
use super::reply::{Reply, text};
use super::{Partition, RedisStore};

/// The most bytes of data in one page of a timeline.
const PAGE_BYTES: usize = 256 * 1024;
/// How often a timeline is copied that is gone before its run begins.
const TRIES: usize = 5;

impl RedisStore {
    pub(super) async fn begin_fork(&self, start: &Start, fork: &Fork) -> Result<Started, StoreError> {
        const OP: &str = "start";
        fork.fits(&start.run)?;
        let partition = self.partition(&start.run);
        for _ in 0..TRIES {
            copy(start, fork, partition).await.map_err(|error| error.with_key(&start.run))?;
            let call = self.fork_call(start, fork, partition);
            let reply = self.lasting(&call, &partition.calls, true).await;
            let mut reply = Reply::new(OP, reply.map_err(|error| error.with_key(&start.run))?)?;
            match reply.text()?.as_str() {
                "new" => {
                    reply.log_failures()?;
                    return Ok(Started::New(fork.ends().0));
                }
                "existing" => return existing(start, reply),
                "behind" => {}
                _ => return Err(garbled(OP)),
            }
        }
        Err(disturbed(start))
    }

    /// The call that begins the run once its timeline is there.
    fn fork_call(&self, start: &Start, fork: &Fork, partition: &Partition) -> Call {
        let mut call = Call::new("fork", partition);
        call.arg(start.run.as_str())
            .arg(start.flow.as_str())
            .arg(self.touch(true))
            .arg(fork.ends().1.to_string())
            .arg(fork.jobs.len())
            .arg(fork.gathers.iter().map(gather_line).collect::<String>());
        let begun: Vec<_> = fork.jobs.iter().filter(|job| job.earlier > 0).collect();
        call.arg(begun.len());
        for job in begun {
            let (reason, next_attempt) = (Some("rerun".to_owned()), job.attempt());
            let retrying = NewEntry::of(StepRetrying { error: None, reason, next_attempt, delay_ms: 0 });
            call.arg(entry_text(&retrying.kind, Some(&job.step), Some(job.earlier), &retrying.data));
        }
        let (now, later) = fork.jobs.split_at(fork.jobs.len().min(MAX_TURN_WRITES));
        call.arg(now.len());
        for job in now {
            call.arg(job.step.to_string())
                .arg(job.earlier)
                .arg(read_text(job))
                .arg(job.recorded)
                .arg(spec_text(&job.spec))
                .arg(inputs_text(job));
        }
        call.arg(later.len());
        for job in later {
            let (spec, inputs) = (spec_text(&job.spec), inputs_text(job));
            let numbers = format!("{} {} {}", job.earlier, read_text(job), job.recorded);
            call.arg(format!("+{}\t{numbers}\t{spec}\t{inputs}", job.step));
        }
        call.arg(fork.arrivals.len());
        for waiting in &fork.arrivals {
            call.arg(waiting.worker.as_str())
                .arg(waiting.side)
                .arg(word(&waiting.by))
                .arg(waiting.input.id.n)
                .arg(waiting.input.id.to_string())
                .arg(word(&waiting.input.key));
        }
        for (worker, ids) in &fork.lists {
            call.arg(worker.as_str()).arg(ids.len());
            for id in ids {
                call.arg(id.to_string());
            }
        }
        call
    }
}

/// Copies the timeline to where the run will look for it. Others may do the same at the same time, or have done a part
/// of it: each page is written once.
async fn copy(start: &Start, fork: &Fork, partition: &Partition) -> Result<(), StoreError> {
    const OP: &str = "copy";
    let id = |count: usize| {
        count.checked_sub(1).and_then(|at| fork.entries.get(at)).map(|entry| entry.id).unwrap_or_default()
    };
    let (mut copied, mut foreign) = (0, None);
    while copied < fork.entries.len() {
        let mut call = Call::new(OP, partition);
        call.arg(start.run.as_str())
            .arg(id(copied).to_string())
            .arg(foreign.map(|last: EntryId| last.to_string()).unwrap_or_default());
        add_page(&mut call, &fork.entries[copied..]);
        let last = text(call.run(&partition.calls).await?).ok_or_else(|| garbled(OP))?;
        if last == "there" {
            return Ok(());
        }
        let last: EntryId = last.parse().map_err(|_| garbled(OP))?;
        let there = usize::try_from(last.n).unwrap_or(usize::MAX);
        if there <= fork.entries.len() && id(there) == last {
            copied = there;
        } else if foreign.replace(last).is_none() {
            // What is left of a rerun that never began, of an earlier run that had the id of the one which is rerun.
            copied = 0;
        } else {
            return Err(disturbed(start));
        }
    }
    Ok(())
}

/// Adds as many of the entries as one call carries, and at least one, in packs: those of one moment behind each other.
fn add_page(call: &mut Call, entries: &[Entry]) {
    let mut bytes = 0;
    let texts: Vec<_> = entries.iter().take(MAX_TURN_WRITES).map(text_of).collect();
    let fits = texts.iter().take_while(|text| {
        bytes += text.len();
        bytes <= PAGE_BYTES
    });
    let count = fits.count().max(1);
    let mut rest = &texts[..count];
    for pack in entries[..count].chunk_by(|a, b| a.id.ms == b.id.ms) {
        let (texts, behind) = rest.split_at(pack.len());
        rest = behind;
        let last = pack.last().map(|entry| entry.id).unwrap_or_default();
        call.arg(last.to_string()).arg(pack.len());
        for text in texts {
            call.arg(text);
        }
    }
}

fn text_of(entry: &Entry) -> String {
    entry_text(&entry.kind, entry.step.as_ref(), entry.attempt, &entry.data)
}

fn disturbed(start: &Start) -> StoreError {
    let message = "its timeline was removed or replaced again and again while it was written";
    StoreError::new(ErrorKind::Unavailable, "start", message).with_key(&start.run)
}

fn read_text(job: &JobRecord) -> String {
    job.read.map_or_else(|| "-".into(), |read| read.to_string())
}

fn inputs_text(job: &JobRecord) -> String {
    let inputs = job.inputs.iter().map(|input| format!("{} {}", input.id, word(&input.key)));
    inputs.collect::<Vec<_>>().join(" ")
}
