//! Joins and gathers that had another name when their run began them.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use super::records::Records;
use crate::id::{Name, RunId};
use crate::record::GatherRecord;
use crate::transaction::{JobSpec, JoinArrival, Transaction};

/// A transaction with the names by which its run knows joins and gathers.
pub(super) struct Known {
    pub(super) tx: Transaction,
    /// The joins at which events wait under more than one name: each other name, with the join that they belong to.
    pub(super) apart: Vec<(Name, JoinArrival)>,
}

/// The index, among the gathers of a run, of the gather that this name stands for.
pub(super) fn standing(gathers: &[GatherRecord], worker: &Name) -> Option<usize> {
    let mut worker = worker.clone();
    for _ in gathers {
        let at = gathers.iter().position(|known| known.gather.spec.worker == worker)?;
        let Some(whole) = gathers[at].part_of() else { return Some(at) };
        worker = whole;
    }
    None
}

/// The transaction with the names by which its run knows the joins and gathers. None if these are the names that the
/// transaction has already.
///
/// A run may have begun one join or gather under two names: a version that had the new name and did not know the
/// former one has worked on it. Gathers that have not fired become one here.
pub(super) fn known<R: Records>(records: &mut R, tx: &Transaction) -> Result<Option<Known>, R::Error> {
    let mut names: BTreeMap<&Name, JobSpec> = BTreeMap::new();
    let mut apart = Vec::new();
    let today: BTreeSet<&Name> = tx.former.iter().map(|former| &former.worker).collect();
    for worker in today {
        let was = tx.former.iter().filter(|former| former.worker == *worker).map(|former| &former.was);
        if let Some(name) = gathering(records, &tx.run, worker, was.clone())? {
            names.insert(worker, name);
        }
        let Some(join) = tx.joins.iter().find(|join| join.spec.worker == *worker) else { continue };
        let mut begun = Vec::new();
        for spec in was {
            if records.has_arrivals(&tx.run, &spec.worker)? {
                begun.push(spec);
            }
        }
        let Some((first, others)) = begun.split_first() else { continue };
        let join = JoinArrival { spec: (*first).clone(), ..join.clone() };
        apart.extend(others.iter().map(|other| (other.worker.clone(), join.clone())));
        if records.has_arrivals(&tx.run, worker)? {
            apart.push((worker.clone(), join.clone()));
        }
        names.insert(worker, join.spec);
    }
    if names.is_empty() {
        return Ok(None);
    }
    let mut tx = tx.clone();
    tx.gathers.retain(|gather| !names.contains_key(&gather.spec.worker));
    for arrival in &mut tx.gathered {
        if let Some(was) = names.get(&arrival.worker) {
            arrival.worker = was.worker.clone();
        }
    }
    for join in &mut tx.joins {
        if let Some(was) = names.get(&join.spec.worker) {
            join.spec = was.clone();
        }
    }
    let jobs = tx.jobs.iter_mut().map(|job| &mut job.spec);
    let joins = tx.joins.iter_mut().map(|join| &mut join.spec);
    let gathers = tx.gathers.iter_mut().map(|gather| &mut gather.spec);
    let waiting = apart.iter_mut().map(|(_, join)| &mut join.spec);
    for held in jobs.chain(joins).chain(gathers).chain(waiting).flat_map(|spec| &mut spec.holds) {
        if let Some(was) = names.get(held) {
            *held = was.worker.clone();
        }
    }
    Ok(Some(Known { tx, apart }))
}

/// The former name with which a run goes on with a gather. None if it goes on with the name of today, or has not
/// begun it.
fn gathering<'a, R: Records>(
    records: &mut R,
    run: &RunId,
    worker: &'a Name,
    was: impl Iterator<Item = &'a JobSpec>,
) -> Result<Option<JobSpec>, R::Error> {
    let gathers = records.gathers(run)?;
    let mut begun: Vec<usize> = Vec::new();
    for at in once(worker).chain(was.map(|spec| &spec.worker)).filter_map(|name| standing(&gathers, name)) {
        if !begun.contains(&at) {
            begun.push(at);
        }
    }
    let Some((first, others)) = begun.split_first() else { return Ok(None) };
    let mut whole = gathers[*first].clone();
    let spec = whole.gather.spec.clone();
    for other in others.iter().map(|at| &gathers[*at]) {
        if whole.fired || other.fired {
            continue;
        }
        let part = &other.gather.spec.worker;
        records.move_gathered(run, part, &spec.worker)?;
        whole.count += other.count;
        // If the run had one of them from its beginning, each job that leads to the gather holds one of the two.
        whole.late &= other.late;
        let mut part = GatherRecord { count: 0, fired: true, ..other.clone() };
        part.set_part_of(&spec.worker);
        records.put_gather(run, &part)?;
        records.put_gather(run, &whole)?;
    }
    Ok(Some(spec).filter(|spec| spec.worker != *worker))
}
