//! Reruns of the model: what a run begins with that goes on from another. It is put together by chance, within what the
//! contract asks of a fork.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nq_core::entry::{Entry, EntryType, NewEntry};
use nq_core::fork::{Fork, Waiting};
use nq_core::id::RunId;
use nq_core::more::More;
use nq_core::record::{GatherRecord, Input, JobRecord};
use nq_core::transaction::Start;

use super::flow::{WORKERS, name};
use super::ops::{Forked, Version};

/// The beginning of this run from the timeline of another, which has entries.
pub(super) fn start(run: RunId, of: &RunId, timeline: Vec<Entry>, forked: &Forked) -> Start {
    let mut entries = timeline;
    let end = entries.iter().position(|entry| entry.kind.is_terminal()).unwrap_or(entries.len());
    entries.truncate(1 + forked.entries % end);
    if let Some(first) = entries[0].data.as_object_mut() {
        first.insert("rerunOf".into(), of.as_str().into());
    }
    let events: Vec<_> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryType::FlowStarted | EntryType::EventEmitted))
        .map(|entry| entry.id)
        .collect();
    let input = |at: usize| {
        let id = events[at % events.len()];
        Input { id, key: format!("again-{}", id.n) }
    };
    let last = entries.len() as u64;
    let gathers = Version::Today.gathers();
    let open: Vec<_> = gathers.iter().zip(forked.fired).filter(|(_, fired)| !fired).collect();

    let mut jobs = BTreeMap::new();
    for (worker, at, earlier) in &forked.jobs {
        let mut spec = Version::Today.job(WORKERS[*worker]);
        spec.holds.retain(|held| open.iter().any(|(gather, _)| gather.spec.worker == *held));
        let input = input(*at);
        let job = JobRecord::queued(run.clone(), spec, input.id, vec![input]);
        let read = (*earlier > 0).then_some(last);
        let job = JobRecord { earlier: *earlier, recorded: *earlier, read, ..job };
        jobs.insert((job.step.cause(), job.step.worker().clone()), job);
    }
    let jobs: Vec<_> = jobs.into_values().collect();
    // Only one side of a join has events that wait with the same value.
    let arrivals: BTreeSet<_> = forked.arrivals.iter().map(|(by, at)| (input(*at).id, *by, *at)).collect();
    let arrivals = arrivals.into_iter().map(|(_, by, at)| Waiting {
        worker: name("j"),
        side: u32::from(by),
        by: by.to_string(),
        input: input(at),
    });
    let mut waiting: Vec<Waiting> = Vec::new();
    for arrival in arrivals {
        if waiting.iter().all(|known| (known.side, known.input.id) != (arrival.side, arrival.input.id)) {
            waiting.push(arrival);
        }
    }
    let lists = gathers.iter().enumerate().map(|(rank, gather)| {
        let got = forked.lists.iter().filter(|(to, _)| *to == rank).map(|(_, at)| input(*at).id);
        (gather.spec.worker.clone(), got.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
    });
    let lists: Vec<_> = lists.filter(|(_, ids)| !ids.is_empty()).collect();
    let known = gathers.into_iter().zip(forked.fired).map(|(gather, fired)| {
        let count = jobs.iter().filter(|job| job.spec.holds.contains(&gather.spec.worker)).count() as u64;
        GatherRecord { gather, count, fired, late: false, more: More::default() }
    });
    let armed = |known: &GatherRecord| {
        known.fired || known.count > 0 || lists.iter().any(|(worker, _)| *worker == known.gather.spec.worker)
    };
    let gathers = known.filter(armed).collect();

    let started = NewEntry::new(EntryType::FlowStarted, entries[0].data.clone());
    let fork = Fork { entries, jobs, arrivals: waiting, gathers, lists };
    Start {
        run,
        flow: name("f"),
        started,
        job: Version::Today.job("a"),
        gathers: Vec::new(),
        fork: Some(Arc::new(fork)),
    }
}
