//! How records are written as text on Redis, as `library/base.lua` and `library/ledger.lua` write and read them, too.
//!
//! What every record has stands in words of its own, set apart by spaces, which no id or name holds. What only some have
//! follows as words `<name>=<value>`; whoever does not know one keeps it. `meta.version` counts the formats.

use nq_core::def::OnFailure;
use nq_core::id::{QueueName, RunId, StepId};
use nq_core::more::More;
use nq_core::record::{GatherRecord, JobState, PART_OF, ended};
use nq_core::store::JobSummary;
use nq_core::transaction::JobSpec;
use serde_json::Value;

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

/// A gather: a line `<rank> <count> <fired> <worker>[ <name>=<value>]…⇥<spec>`. `fired` is 1 if it has fired, 2 if it has
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
    format!("{rank} {count} {fired} {worker}{}\t{spec}\n", more.words())
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

/// Reads the record of a job, `<state> <fence> <earlier> <failures> <crashes> <read> <recorded> <at> <who>[
/// <name>=<value>]…⇥<spec>⇥<inputs>`, and the error that stands beside that of a dead letter.
pub(super) fn job(record: &str, error: Option<String>) -> Option<Job> {
    let mut parts = record.split('\t');
    let (head, spec) = (parts.next()?, parts.next()?);
    let mut words = head.splitn(10, ' ');
    let mut word = || words.next();
    let (state, _fence) = (word()?, word()?);
    let (earlier, failures, crashes): (u32, u32, u32) =
        (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    let (_read, _recorded, at, who) = (word()?, word()?, word()?, word()?);
    let more = More::of_words(word().unwrap_or_default());
    let state = match state {
        "q" => JobState::Queued,
        "l" | "g" => JobState::Leased { instance: who.parse().ok()?, deadline_ms: at.parse().ok()? },
        "d" => JobState::Delayed { due_ms: at.parse().ok()? },
        "x" => JobState::Dead { error: error.unwrap_or_default() },
        _ => return None,
    };
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
        assert_eq!(gather_line(&known), "4 2 0 ship window=3\t5 c order/ship\n");
        known.late = true;
        assert_eq!(gather_line(&known), "4 2 2 ship window=3\t5 c order/ship\n");
        known.fired = true;
        assert_eq!(gather_line(&known), "4 2 1 ship window=3\t5 c order/ship\n");
        known.set_part_of(&Name::new("sum").unwrap());
        assert_eq!(gather_line(&known), "4 2 3 ship window=3\tsum\n");
    }

    #[test]
    fn jobs_of_every_format_are_read() {
        let queue = QueueName::of("order", "ship");
        let job = |state, ended, failures, crashes, more: &str| Job {
            queue: queue.clone(),
            state,
            ended,
            failures,
            crashes,
            more: More::of_words(more),
        };
        let leased = || JobState::Leased { instance: "i-1".parse().unwrap(), deadline_ms: 1_700_000_030_000 };
        for (record, read) in [
            // Format 1.
            ("q 0 0 0 0 - 0 1700000000000000-0 -\t5 f order/ship\t1-1 -", job(JobState::Queued, 0, 0, 0, "")),
            ("l 3 1 1 1 7 2 1700000030000 i-1\t5 f order/ship sum\t1-1 k", job(leased(), 3, 1, 1, "")),
            // Format 2.
            (
                "g 1 0 0 0 1 0 1700000030000 i-1 rate=\"x%20y\"\t5 f order/ship hold=sum a=1\t1-1 -",
                job(leased(), 0, 0, 0, "rate=\"x%20y\""),
            ),
            ("d 1 0 1 0 1 0 9 -\t5 f order/ship\t", job(JobState::Delayed { due_ms: 9 }, 1, 1, 0, "")),
            (
                "x 1 0 1 0 1 0 0 - a=1 b=2\t5 f order/ship\t",
                job(JobState::Dead { error: "no".into() }, 1, 1, 0, "a=1 b=2"),
            ),
        ] {
            assert_eq!(super::job(record, Some("no".into())), Some(read), "{record}");
        }
        for damaged in [
            "",
            "q",
            "q 0 0 0 0 - 0 0 -",
            "z 0 0 0 0 - 0 0 -\t5 f order/ship\t",
            "q 0 x 0 0 - 0 0 -\t5 f a/b\t",
        ] {
            assert_eq!(super::job(damaged, None), None, "{damaged}");
        }
    }
}
