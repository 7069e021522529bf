//! How records are written as text on Redis, as `library/records.lua` and `library/page.lua` write and read them, too.
//!
//! What every record has stands in words of its own, set apart by spaces, which no id or name holds. What only some have
//! follows as words `<name>=<value>`; whoever does not know one keeps it. `meta.version` counts the formats.

use std::borrow::Cow;

use nq_core::def::OnFailure;
use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, QueueName, RunId, StepId};
use nq_core::more::More;
use nq_core::record::{GatherRecord, JobState, PART_OF, RunRecord, StateKind, ended};
use nq_core::status::RunStatus;
use nq_core::store::JobSummary;
use nq_core::transaction::JobSpec;
use serde_json::Value;

use super::keys::{name, unword, word};

/// What the record of a run says by words that are the store's own.
const OWN: [&str; 3] = ["ended", "joins", "gathered"];

/// The letter of a status in the record of a run.
pub(super) fn status_letter(status: RunStatus) -> char {
    match status {
        RunStatus::Running => 'r',
        RunStatus::Completed => 'c',
        RunStatus::Failed => 'f',
        RunStatus::Cancelled => 'x',
        RunStatus::Stalled => 't',
    }
}

/// The type of an entry as one word.
pub(super) fn kind_word(kind: &EntryType) -> Cow<'_, str> {
    match kind {
        EntryType::Other(text) => Cow::Owned(word(text)),
        known => Cow::Borrowed(known.as_str()),
    }
}

/// An entry as its timeline has it: `<type> <step|-> <attempt|-> <data as JSON>`.
pub(super) fn entry_text(
    kind: &EntryType,
    step: Option<&StepId>,
    attempt: Option<u32>,
    data: &Value,
) -> String {
    let kind = kind_word(kind);
    match (step, attempt) {
        (Some(step), Some(attempt)) => format!("{kind} {step} {attempt} {data}"),
        (Some(step), None) => format!("{kind} {step} - {data}"),
        (None, Some(attempt)) => format!("{kind} - {attempt} {data}"),
        (None, None) => format!("{kind} - - {data}"),
    }
}

/// The entry of this id, or what is wrong with it. One that is missing comes without text.
pub(super) fn entry(id: EntryId, text: &[u8]) -> Result<Entry, String> {
    let n = id.n;
    let damaged = |what: &str| format!("entry {n} of its timeline is damaged: {what}");
    if text.is_empty() {
        return Err(format!("entry {n} of its timeline is missing"));
    }
    let text = std::str::from_utf8(text).map_err(|error| damaged(&error.to_string()))?;
    let mut words = text.splitn(4, ' ');
    let mut word = |name: &str| words.next().ok_or_else(|| damaged(name));
    let (kind, step, attempt, data) =
        (word("its type")?, word("its step")?, word("its attempt")?, word("its data")?);
    let step = if step == "-" { None } else { Some(step.parse().map_err(|_| damaged("its step"))?) };
    let attempt =
        if attempt == "-" { None } else { Some(attempt.parse().map_err(|_| damaged("its attempt"))?) };
    let data = serde_json::from_str(data).map_err(|error| damaged(&error.to_string()))?;
    // Few types need to be one word first.
    let kind = EntryType::parse(&if kind.contains(['%', '-']) { unword(kind) } else { kind.to_owned() });
    Ok(Entry { id, kind, step, attempt, data })
}

/// The record of a run, of which this is the first line: `<ms> <n> <pending> <status>[s] <flow> <started in µs>[
/// <name>=<value>]…`.
pub(super) fn run(run: RunId, head: &str) -> Option<RunRecord> {
    let mut words = head.splitn(7, ' ');
    let mut word = || words.next();
    let last = EntryId { ms: word()?.parse().ok()?, n: word()?.parse().ok()? };
    let pending = word()?.parse().ok()?;
    let letter = word()?.chars().next()?;
    let status = RunStatus::ALL.into_iter().find(|status| status_letter(*status) == letter)?;
    let flow = name(word()?)?;
    let started_ms = word()?.parse::<u64>().ok()? / 1_000;
    let mut more = More::of_words(word().unwrap_or_default());
    let ended_ms = more.get("ended");
    OWN.iter().for_each(|name| more.set(name, Value::Null));
    Some(RunRecord { run, flow, status, started_ms, ended_ms, last, pending, more })
}

/// The lines of the jobs that a record of a run holds, by their steps.
pub(super) fn job_lines(record: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = record.lines().skip(1).filter(|line| !line.starts_with('\t'));
    lines.filter_map(|line| line.split_once(' '))
}

/// A spec: `<max crashes> <f|c> <queue>[ hold=<gather>]…[ <name>=<value>]…`. The worker stands beside it.
pub(super) fn spec_text(spec: &JobSpec) -> String {
    let on_failure = match spec.on_failure {
        OnFailure::Fail => 'f',
        OnFailure::Continue => 'c',
    };
    let mut text = format!("{} {on_failure} {}", spec.max_crashes, spec.queue);
    for gather in &spec.holds {
        text.push_str(" hold=");
        text.push_str(gather.as_str());
    }
    text.push_str(&spec.more.words());
    text
}

/// A gather in the record of its run: a line `⇥<rank> <count> <fired> <worker>[ <name>=<value>]…⇥<spec>`. `fired` is 1 if it has fired, 2 if it has
/// not and is newer than the run, and 3 if it is part of another, whose name stands in place of the spec.
pub(super) fn gather_line(known: &GatherRecord) -> String {
    let GatherRecord { gather, count, .. } = known;
    let (rank, worker) = (gather.rank, &gather.spec.worker);
    let mut more = known.more.clone();
    let (fired, spec) = match known.part_of() {
        Some(whole) => {
            more.set(PART_OF, Value::Null);
            (3, whole.to_string())
        }
        None if known.fired => (1, spec_text(&gather.spec)),
        None => (2 * u8::from(known.late), spec_text(&gather.spec)),
    };
    format!("\n\t{rank} {count} {fired} {worker}{}\t{spec}", more.words())
}

/// What is read of a job's record where people look at it.
#[derive(Debug, PartialEq)]
pub(super) struct Job {
    queue: QueueName,
    state: JobState,
    ended: u32,
    failures: u32,
    crashes: u32,
    more: More,
}

impl Job {
    pub(super) fn summary(self, (run, step): (RunId, StepId)) -> JobSummary {
        let Self { queue, state, ended, failures, crashes, .. } = self;
        JobSummary { run, step, queue, attempt: state.attempt(ended), state, failures, crashes }
    }
}

/// Reads what the record of a run says of a job behind its step: `<state> <fence> <earlier> <failures> <crashes> <read>
/// <recorded> <at> <who>[ <name>=<value>]…⇥<spec>⇥<inputs>`, and `⇥<error as JSON>` of a dead letter. `who` is the instance
/// and, behind `#`, its bucket.
pub(super) fn job(line: &str) -> Option<Job> {
    let mut parts = line.split('\t');
    let (head, spec, _inputs, error) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    let mut words = head.splitn(10, ' ');
    let mut word = || words.next();
    let (state, _fence) = (word()?, word()?);
    let (earlier, failures, crashes): (u32, u32, u32) =
        (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    let (_read, _recorded, at, who) = (word()?, word()?, word()?, word()?);
    let more = More::of_words(word().unwrap_or_default());
    // A job that was given and not heard of since is leased.
    let kind = if state == "g" { StateKind::Leased } else { StateKind::of_letter(state.parse().ok()?)? };
    // A queued job has its ticket in place of a time.
    let at_ms = if kind == StateKind::Queued { 0 } else { at.parse().ok()? };
    let holder = who.rsplit_once('#').and_then(|(instance, _)| instance.parse().ok());
    let error = error.map(serde_json::from_str).transpose().ok()?;
    if kind == StateKind::Dead && error.is_none() {
        return None;
    }
    let state = JobState::of_parts(kind, at_ms, holder, error)?;
    let queue = spec.split(' ').nth(2)?.parse().ok()?;
    Some(Job { queue, state, ended: ended(earlier, failures, crashes), failures, crashes, more })
}

#[cfg(test)]
mod tests {
    use nq_core::id::Name;
    use nq_core::transaction::GatherSpec;

    use super::*;

    fn spec() -> JobSpec {
        let name = |name: &str| Name::new(name).unwrap();
        JobSpec {
            worker: name("ship"),
            queue: QueueName::of("order", "ship"),
            holds: vec![name("sum"), name("a=b%")],
            max_crashes: 5,
            on_failure: OnFailure::Continue,
            more: More::default(),
        }
    }

    #[test]
    fn a_spec_says_what_it_holds_and_what_only_some_have() {
        let mut spec = spec();
        assert_eq!(spec_text(&spec), "5 c order/ship hold=sum hold=a=b%");
        spec.more.set("priority", 3);
        assert_eq!(spec_text(&spec), "5 c order/ship hold=sum hold=a=b% priority=3");
    }

    #[test]
    fn a_gather_keeps_what_only_some_have_also_as_part_of_another() {
        let gather = GatherSpec { spec: JobSpec { holds: Vec::new(), ..spec() }, rank: 4 };
        let mut more = More::default();
        more.set("window", 3);
        let mut known = GatherRecord { gather, count: 2, fired: false, late: false, more };
        assert_eq!(gather_line(&known), "\n\t4 2 0 ship window=3\t5 c order/ship");
        known.late = true;
        assert_eq!(gather_line(&known), "\n\t4 2 2 ship window=3\t5 c order/ship");
        known.fired = true;
        assert_eq!(gather_line(&known), "\n\t4 2 1 ship window=3\t5 c order/ship");
        known.set_part_of(&Name::new("sum").unwrap());
        assert_eq!(gather_line(&known), "\n\t4 2 3 ship window=3\tsum");
    }

    #[test]
    fn jobs_are_read() {
        let queue = QueueName::of("order", "ship");
        let job = |state, ended, failures, crashes, more: &str| Job {
            queue: queue.clone(),
            state,
            ended,
            failures,
            crashes,
            more: More::of_words(more),
        };
        let leased = || JobState::Leased { instance: "i#1".parse().unwrap(), deadline_ms: 1_700_000_030_000 };
        for (record, read) in [
            ("q 0 0 0 0 - 0 1700000000000000-0 -\t5 f order/ship\t1-1 -", job(JobState::Queued, 0, 0, 0, "")),
            ("l 3 1 1 1 7 2 1700000030000 i#1#9\t5 f order/ship hold=sum\t1-1 k", job(leased(), 3, 1, 1, "")),
            (
                "g 1 0 0 0 1 0 1700000030000 i#1#g2 rate=\"x%20y\"\t5 f order/ship hold=sum a=1\t1-1 -",
                job(leased(), 0, 0, 0, "rate=\"x%20y\""),
            ),
            ("d 1 0 1 0 1 0 9 -\t5 f order/ship\t", job(JobState::Delayed { due_ms: 9 }, 1, 1, 0, "")),
            (
                "x 1 0 1 0 1 0 0 - a=1 b=2\t5 f order/ship\t\t\"no\\n\"",
                job(JobState::Dead { error: "no\n".into() }, 1, 1, 0, "a=1 b=2"),
            ),
        ] {
            assert_eq!(super::job(record), Some(read), "{record}");
        }
        for damaged in [
            "",
            "q",
            "q 0 0 0 0 - 0 0 -",
            "z 0 0 0 0 - 0 0 -\t5 f order/ship\t",
            "q 0 x 0 0 - 0 0 -\t5 f a/b\t",
            "l 1 0 0 0 1 0 9 i\t5 f a/b\t",
        ] {
            assert_eq!(super::job(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn an_entry_comes_back_whatever_its_type() {
        let (id, step): (EntryId, StepId) = ("7-3".parse().unwrap(), "a@7-1".parse().unwrap());
        for kind in [EntryType::EventEmitted, EntryType::Other("a b%-".into()), EntryType::Other("".into())] {
            for (step, attempt) in [(None, None), (Some(&step), None), (Some(&step), Some(2))] {
                let data = serde_json::json!({ "a": " \n" });
                let read = entry(id, entry_text(&kind, step, attempt, &data).as_bytes()).unwrap();
                let (kind, step) = (kind.clone(), step.cloned());
                assert_eq!(read, Entry { id, kind, step, attempt, data });
            }
        }
        for (damaged, what) in [
            (&b""[..], "missing"),
            (b"log.info", "step"),
            (b"log.info - - {", "EOF"),
            (b"log.info - x 1", "attempt"),
        ] {
            let error = entry(id, damaged).unwrap_err();
            assert!(error.contains("entry 3 ") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_run_is_read_by_its_first_line() {
        let read = |head: &str| run(RunId::new("r").unwrap(), head);
        let found = read("1700 9 0 cs order 1600000 ended=1699 joins=1 gathered=sum team=\"x\"").unwrap();
        assert_eq!((found.last, found.pending), (EntryId { ms: 1_700, n: 9 }, 0));
        assert_eq!(
            (found.status, found.started_ms, found.ended_ms),
            (RunStatus::Completed, 1_600, Some(1_699))
        );
        assert_eq!(found.more.words(), " team=\"x\"");
        assert_eq!(read("1700 9 2 r order 1600000").unwrap().status, RunStatus::Running);
        for damaged in ["", "another type", "x 9 2 r order 1", "1 9 2 z order 1", "1 9 2 r order"] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn the_jobs_of_a_record_stand_behind_its_gathers() {
        let record = "1 2 2 r f 1000\n\t0 1 0 g\t5 f f/g\na@1-1 q x\nb@1-1 l y z\n";
        assert_eq!(job_lines(record).collect::<Vec<_>>(), [("a@1-1", "q x"), ("b@1-1", "l y z")]);
    }
}
