//! The writes of a turn as the server is given them, and its answers.

use std::collections::{BTreeMap, HashMap};

use nq_core::limits;
use nq_core::status::RunStatus;
use nq_core::store::{Answer, StoreError};
use nq_core::transaction::{GatherSpec, Outcome, Transaction};

use super::codec::{entry_text, spec_text};
use super::errors::garbled;
use super::keys::word;
use super::library::Call;

/// The numbers of writes, those of one run behind each other: the server then reads and writes its record once. Where
/// jobs go back to their queues, they go in the order of the writes.
pub(super) fn by_run(writes: &[&Transaction]) -> Vec<usize> {
    let goes_back = |write: &&Transaction| match write.outcome {
        Outcome::Release => true,
        Outcome::Retry { delay_ms } | Outcome::Postpone { delay_ms } => delay_ms == 0,
        Outcome::Continue | Outcome::Complete | Outcome::Fail { .. } => false,
    };
    let mut order: Vec<_> = (0..writes.len()).collect();
    if !writes.iter().any(goes_back) {
        let mut first = HashMap::with_capacity(writes.len());
        for (at, write) in writes.iter().enumerate() {
            first.entry(&write.run).or_insert(at);
        }
        order.sort_by_key(|at| first[&writes[*at].run]);
    }
    order
}

/// Appends the writes of a turn to the arguments, in groups behind their number: for each its run, how many writes it has,
/// their steps, and the writes.
pub(super) fn encode_writes(call: &mut Call, writes: &[&Transaction]) {
    let order = by_run(writes);
    let groups: Vec<_> = order.chunk_by(|a, b| writes[*a].run == writes[*b].run).collect();
    call.arg(groups.len());
    for group in groups {
        call.arg(writes[group[0]].run.as_str()).arg(group.len());
        for at in group {
            call.arg(writes[*at].step.to_string());
        }
        for at in group {
            encode(call, writes[*at]);
        }
    }
}

/// Appends a write: its fence, its shape (how it ends, and how much of each thing follows), and these.
fn encode(call: &mut Call, tx: &Transaction) {
    if tx.entries.len() > limits::MAX_COMMIT_ENTRIES {
        let limit = format!("{} entries in one commit", limits::MAX_COMMIT_ENTRIES);
        call.arg(tx.fence).arg("T 0 0 0 0 0 0 0").arg(limit);
        return;
    }
    let Transaction { entries, former, gathers, gathered, jobs, joins, .. } = tx;
    // Many jobs follow later: one text each, and what they hold in sum.
    let later = jobs.len() > limits::MAX_TURN_WRITES;
    let mut holds: BTreeMap<&str, u64> = BTreeMap::new();
    for gather in jobs.iter().filter(|_| later).flat_map(|job| &job.spec.holds) {
        *holds.entry(gather.as_str()).or_default() += 1;
    }
    let outcome = match &tx.outcome {
        Outcome::Continue => 'C',
        Outcome::Complete => 'D',
        Outcome::Retry { .. } => 'R',
        Outcome::Postpone { .. } => 'P',
        Outcome::Fail { .. } => 'F',
        Outcome::Release => 'L',
    };
    let counts = [entries.len(), former.len(), gathers.len(), gathered.len()];
    let [entries_count, former_count, gathers_count, gathered_count] = counts;
    let (plus, jobs_count, joins_count) = (if later { "+" } else { "" }, jobs.len(), joins.len());
    call.arg(tx.fence).arg(format!(
        "{outcome} {entries_count} {former_count} {gathers_count} {gathered_count} {plus}{jobs_count} {} {joins_count}",
        holds.len()
    ));
    match &tx.outcome {
        Outcome::Continue => drop(call.arg(tx.recorded)),
        Outcome::Retry { delay_ms } | Outcome::Postpone { delay_ms } => {
            call.arg((*delay_ms).min(limits::MAX_TIME_MS));
        }
        Outcome::Fail { error } => drop(call.arg(error)),
        Outcome::Complete | Outcome::Release => {}
    }
    for entry in entries {
        call.arg(entry_text(&entry.kind, Some(&tx.step), Some(tx.attempt), &entry.data));
    }
    for former in former {
        call.arg(former.worker.as_str()).arg(former.was.worker.as_str()).arg(spec_text(&former.was));
    }
    encode_gathers(call, gathers);
    for arrival in gathered {
        call.arg(arrival.worker.as_str()).arg(arrival.entry + 1);
    }
    for (gather, count) in &holds {
        call.arg(*gather).arg(*count);
    }
    for job in jobs {
        let (worker, cause, spec, key) =
            (&job.spec.worker, job.cause + 1, spec_text(&job.spec), word(&job.key));
        if later {
            call.arg(format!("{worker}\t{spec}\t{cause} {key}"));
        } else {
            call.arg(worker.as_str()).arg(cause).arg(spec).arg(key);
        }
    }
    for join in joins {
        call.arg(join.spec.worker.as_str())
            .arg(spec_text(&join.spec))
            .arg(join.sides)
            .arg(join.side)
            .arg(word(&join.by))
            .arg(join.entry + 1)
            .arg(word(&join.key));
    }
}

pub(super) fn encode_gathers(call: &mut Call, gathers: &[GatherSpec]) {
    for gather in gathers {
        call.arg(gather.rank).arg(gather.spec.worker.as_str()).arg(spec_text(&gather.spec));
    }
}

/// An answer as the function writes it, and whether the write has ended its run.
pub(super) fn answer(text: &str) -> Result<(Answer, bool), StoreError> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let answer = match kind {
        "C" | "D" => Answer::Committed { last: rest.parse().map_err(|_| garbled("turn"))? },
        "L" => Answer::LeaseLost,
        "E" => Answer::RunEnded { status: RunStatus::parse(rest).ok_or_else(|| garbled("turn"))? },
        "G" => Answer::RunGone,
        "T" => Answer::TooLarge { limit: rest.to_owned() },
        _ => return Err(garbled("turn")),
    };
    Ok((answer, kind == "D"))
}
