//! The input of a step that gathers: its list, and a check whether its run has a second list under another name.

use std::iter::once;

use nq_core::decide::{self, Attempt};
use nq_core::entry::EntryType;
use nq_core::id::Name;
use nq_core::ledger;
use nq_core::limits::MAX_READ_ENTRIES;
use nq_core::registry::{Flow, Worker};
use nq_core::store::{Arrived, Gathered, Lease, Store, StoreError};
use nq_core::transaction::LogLine;
use serde_json::json;

use crate::patience::patiently;

/// The query of the first page of the events that came under this name before the step was caused.
fn first_page(lease: &Lease, worker: Name) -> Gathered {
    let cause = lease.step.cause();
    Gathered {
        run: lease.run.clone(),
        worker,
        upto: cause.n,
        from: 0,
        limit: MAX_READ_ENTRIES,
        seen: Some(cause),
    }
}

/// The events that a step gathers.
pub(super) async fn list(store: &dyn Store, lease: &Lease) -> Result<Vec<Arrived>, StoreError> {
    let mut gathered = first_page(lease, lease.step.worker().clone());
    let mut list = Vec::new();
    loop {
        let page = patiently(|| store.gathered(&gathered)).await?;
        if page.is_empty() {
            return Ok(list);
        }
        gathered.from += page.len() as u64;
        list.extend(page.into_iter().map(|entry| ledger::arrived(entry, String::new())));
    }
}

/// The log line of a step whose run has also gathered under another name of the worker, because a version of the program
/// had the new name without a `was`. None if there is only one list: if neither name had fired when a version with `was`
/// came, the store has made one list of both.
pub(super) async fn apart(
    store: &dyn Store,
    lease: &Lease,
    attempt: &Attempt,
    flow: &Flow,
    worker: &Worker,
) -> Result<Option<LogLine>, StoreError> {
    let own = lease.step.worker();
    let former = flow.former(|waits| waits.as_str() == worker.name);
    let Some(today) = former.first().map(|former| &former.worker) else { return Ok(None) };
    for other in once(today).chain(former.iter().map(|former| &former.was.worker)) {
        if other == own {
            continue;
        }
        let gathered = Gathered { upto: u64::MAX, limit: 1, ..first_page(lease, other.clone()) };
        if patiently(|| store.gathered(&gathered)).await?.is_empty() {
            continue;
        }
        let message = format!(
            "this run has gathered under two names of worker `{today}`, since a version of the program did not say \
             what the worker was before: this step runs on what came under `{own}`, without what came under `{other}`"
        );
        tracing::warn!(parent: None, run = %lease.run, step = %lease.step, "{message}");
        let fields = json!({ "worker": today, "gathered": own, "missing": other });
        let fields = fields.as_object().cloned().unwrap_or_default();
        return Ok(Some(decide::log(attempt, EntryType::LogWarn, message, fields)));
    }
    Ok(None)
}
