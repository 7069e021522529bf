//! Joins and gathers that had another name when their run began.

use std::collections::BTreeMap;

use super::Records;
use crate::id::Name;
use crate::transaction::{JobSpec, Transaction};

/// The transaction with the names by which its run knows joins and gathers. None where those are the names that it
/// has.
pub(super) fn known<R: Records>(records: &mut R, tx: &Transaction) -> Result<Option<Transaction>, R::Error> {
    let mut names: BTreeMap<&Name, &JobSpec> = BTreeMap::new();
    for former in &tx.former {
        let gathers = records.gathers(&tx.run)?;
        let known = |worker: &Name| gathers.iter().any(|known| known.gather.spec.worker == *worker);
        let begun = known(&former.was.worker) || records.has_arrivals(&tx.run, &former.was.worker)?;
        if begun && !known(&former.worker) {
            names.entry(&former.worker).or_insert(&former.was);
        }
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
            join.spec = (*was).clone();
        }
    }
    let jobs = tx.jobs.iter_mut().map(|job| &mut job.spec);
    let joins = tx.joins.iter_mut().map(|join| &mut join.spec);
    let gathers = tx.gathers.iter_mut().map(|gather| &mut gather.spec);
    for held in jobs.chain(joins).chain(gathers).flat_map(|spec| &mut spec.holds) {
        if let Some(was) = names.get(held) {
            *held = was.worker.clone();
        }
    }
    Ok(Some(tx))
}
