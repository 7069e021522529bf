//! The flow of the model: an entry, two subscribers, a join, and two gathers of which one feeds the other.

use nq_core::def::OnFailure;
use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{Name, QueueName, RunId};
use nq_core::store::Lease;
use nq_core::transaction::{
    GatherArrival, GatherSpec, JobSpec, JoinArrival, NewJob, Outcome, Renewal, Transaction,
};
use serde_json::json;

use super::ops::{Did, End, Write};

/// The workers: the gathers come last.
pub(super) const WORKERS: [&str; 6] = ["a", "b", "c", "j", "g", "h"];
pub(super) const GATHERS: [&str; 2] = ["g", "h"];

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn run_id(number: usize) -> RunId {
    RunId::new(format!("r{number}")).unwrap()
}

pub(super) fn job(worker: &str) -> JobSpec {
    let holds: &[&str] = match worker {
        "a" | "b" | "j" => &GATHERS,
        "g" => &["h"],
        _ => &[],
    };
    JobSpec {
        holds: holds.iter().map(|gather| name(gather)).collect(),
        max_crashes: 2,
        on_failure: if worker == "a" { OnFailure::Fail } else { OnFailure::Continue },
        ..JobSpec::new(name(worker), QueueName::of("f", worker))
    }
}

pub(super) fn gathers() -> Vec<GatherSpec> {
    (0..).zip(GATHERS).map(|(rank, worker)| GatherSpec { spec: job(worker), rank }).collect()
}
/// What an attempt writes. `count` makes its payloads differ from those of others; one that runs again later
/// does so after `delay_ms`.
pub(super) fn transaction(lease: &Lease, write: &Write, count: u64, delay_ms: u64) -> Transaction {
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
                tx.jobs.push(NewJob { spec: job(WORKERS[*worker % 3]), cause: entry, key });
            }
            Did::Join { side, by } => {
                let (side, by) = (*side, by.to_string());
                tx.joins.push(JoinArrival { spec: job("j"), sides: 2, side, by, entry, key });
            }
            Did::Gather(gather) => {
                tx.gathered.push(GatherArrival { worker: name(GATHERS[*gather]), entry });
            }
            Did::Set(_) | Did::Incr(_) => {}
        }
        tx.entries.push(NewEntry::new(kind, data));
    }
    tx.gathers = gathers();
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
