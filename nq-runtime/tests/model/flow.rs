//! The flow of the model: an entry, two subscribers, a join, and two gathers of which one feeds the other. The join and
//! the first gather had other names before.

use nq_core::def::OnFailure;
use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{Name, QueueName, RunId};
use nq_core::store::Lease;
use nq_core::transaction::{
    Former, GatherArrival, GatherSpec, JobSpec, JoinArrival, NewJob, Outcome, Renewal, Transaction,
};
use serde_json::json;

use super::ops::{Did, End, Version, Write};

/// The workers, those that have a former name last.
pub(super) const WORKERS: [&str; 8] = ["a", "b", "c", "j", "g", "h", "old-j", "old-g"];
/// The gathers, under each name.
pub(super) const GATHERS: [&str; 3] = ["g", "h", "old-g"];
/// The flows.
pub(super) const FLOWS: [&str; 2] = ["f", "e"];

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn run_id(number: usize) -> RunId {
    RunId::new(format!("r{number}")).unwrap()
}

impl Version {
    /// How it calls the join.
    fn join(self) -> &'static str {
        if self == Self::Before { "old-j" } else { "j" }
    }

    /// How it calls its gathers, by rank.
    fn gathering(self) -> [&'static str; 2] {
        [if self == Self::Before { "old-g" } else { "g" }, "h"]
    }

    /// The gathers that it knows.
    pub(super) fn gathers(self) -> Vec<GatherSpec> {
        (0..)
            .zip(self.gathering())
            .map(|(rank, worker)| GatherSpec { spec: self.job(worker), rank })
            .collect()
    }

    /// The job of a worker, as it knows it.
    pub(super) fn job(self, worker: &str) -> JobSpec {
        let gathering = self.gathering();
        let holds: &[&str] = match worker {
            "a" | "b" | "j" | "old-j" => &gathering,
            "g" | "old-g" => &["h"],
            _ => &[],
        };
        JobSpec {
            holds: holds.iter().map(|gather| name(gather)).collect(),
            max_crashes: 2,
            on_failure: if worker == "a" { OnFailure::Fail } else { OnFailure::Continue },
            ..JobSpec::new(name(worker), queue(worker))
        }
    }

    /// What it says of names that were others before.
    fn former(self) -> Vec<Former> {
        if self != Self::Today {
            return Vec::new();
        }
        let was = |worker, was| Former { worker: name(worker), was: Self::Before.job(was) };
        vec![was("g", "old-g"), was("j", "old-j")]
    }
}

pub(super) fn queue(worker: &str) -> QueueName {
    QueueName::of("f", worker)
}

/// What an attempt writes. `count` makes its payloads differ from those of others; one that runs again later
/// does so after `delay_ms`.
pub(super) fn transaction(lease: &Lease, write: &Write, count: u64, delay_ms: u64) -> Transaction {
    let version = write.version;
    let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    for did in &write.did {
        let entry = tx.entries.len();
        let key = format!("{count}-{entry}");
        let (kind, data) = match did {
            Did::Set(key) => (EntryType::StateSet, json!({ "key": key.to_string(), "value": count })),
            Did::Incr(key) => {
                let operations = [json!({ "action": "incr", "key": key.to_string(), "by": 1 })];
                (EntryType::StateBatch, json!({ "operations": operations }))
            }
            _ => (EntryType::EventEmitted, json!({ "name": "e", "payload": key, "op": "1", "to": [] })),
        };
        match did {
            Did::To(worker) => {
                tx.jobs.push(NewJob { spec: version.job(WORKERS[*worker % 3]), cause: entry, key });
            }
            Did::Join { side, by } => {
                let (side, by) = (*side, by.to_string());
                let spec = version.job(version.join());
                tx.joins.push(JoinArrival { spec, sides: 2, side, by, entry, key });
            }
            Did::Gather(gather) => {
                tx.gathered.push(GatherArrival { worker: name(version.gathering()[*gather]), entry });
            }
            Did::Set(_) | Did::Incr(_) => {}
        }
        tx.entries.push(NewEntry::new(kind, data));
    }
    tx.gathers = version.gathers();
    tx.former = version.former();
    let said = match write.end {
        End::Complete => Some(EntryType::StepCompleted),
        End::Effect => Some(EntryType::StepEffect),
        End::Retry | End::Later(_) | End::Postponed(_) => Some(EntryType::StepRetrying),
        End::Fail => Some(EntryType::StepFailed),
        End::Release => None,
    };
    tx.entries.extend(said.map(|kind| NewEntry::new(kind, json!({ "error": "no" }))));
    tx.recorded = u32::from(matches!(write.end, End::Effect));
    tx.outcome = match write.end {
        End::Complete => Outcome::Complete,
        End::Effect => Outcome::Continue,
        End::Retry => Outcome::Retry { delay_ms: 0 },
        End::Later(_) => Outcome::Retry { delay_ms },
        End::Postponed(_) => Outcome::Postpone { delay_ms },
        End::Fail => Outcome::Fail { error: "no".into() },
        End::Release => Outcome::Release,
    };
    tx
}

pub(super) fn renewal(lease: &Lease) -> Renewal {
    Renewal { run: lease.run.clone(), step: lease.step.clone(), fence: lease.fence }
}
