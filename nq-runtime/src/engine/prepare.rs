//! What an attempt needs beyond its lease.

use nq_core::decide::Attempt;
use nq_core::entry::{Entry, EntryType};
use nq_core::registry::{Flow, Worker};
use nq_core::store::{Arrived, ErrorKind, Lease, Read, Store, StoreError};

use super::gather;
use crate::error::Error;
use crate::link::Link;
use crate::patience::patiently;

/// How an attempt ends whose events or records could not be read. If they are damaged, it fails for good, since no other
/// attempt could read them.
pub(super) fn unprepared(error: StoreError) -> Error {
    if error.kind() == ErrorKind::Corrupt { Error::fatal(error) } else { error.into() }
}

/// What the attempt needs beyond its lease: the list of a gather, and what earlier attempts have recorded.
pub(super) async fn prepare(
    store: &dyn Store,
    link: &Link,
    lease: &Lease,
    attempt: &Attempt,
    flow: &Flow,
    worker: &Worker,
) -> Result<(Vec<Arrived>, Vec<Entry>), StoreError> {
    let mut inputs = lease.inputs.clone();
    if !worker.gathers.is_empty() {
        // These futures are boxed, so that the task of an attempt that gathers nothing stays small.
        inputs.extend(Box::pin(gather::list(store, lease)).await?);
        if lease.attempt == 1
            && let Some(line) = Box::pin(gather::apart(store, lease, attempt, flow, worker)).await?
        {
            link.log(&lease.run, line);
        }
    }
    let mut own = Vec::new();
    if lease.recorded > 0 {
        let types = vec![
            EntryType::StepEffect,
            EntryType::EventEmitted,
            EntryType::StateSet,
            EntryType::StateDelete,
            EntryType::StateBatch,
        ];
        let mut read = Read { types, ..Read::after(lease.run.clone(), lease.step.cause().n) };
        loop {
            let page = patiently(|| store.read(&read)).await?;
            let Some(last) = page.last() else { break };
            (read.after, read.seen) = (last.id.n, Some(last.id));
            own.extend(page.into_iter().filter(|entry| entry.step.as_ref() == Some(&lease.step)));
        }
    }
    Ok((inputs, own))
}
