//! Starts that are sent until the store answers.

use std::time::Duration;

use nq_core::store::{ErrorKind, StartAnswer, Started, Store, StoreError};
use nq_core::transaction::Start;
use tokio::time::{Instant, timeout};

use crate::ids;
use crate::link::Link;

/// How many other ids are tried for a run if its id belongs to a part of the store that is away.
const OTHER_IDS: u32 = 8;

/// How long a start is sent again to a store that does not answer.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Begins a run: with the next turn of this instance if the store is fastest that way, else as [`until_answered`] does.
/// `bytes` is the size of its input.
pub(crate) async fn begin(
    store: &dyn Store,
    link: &Link,
    start: &mut Start,
    bytes: usize,
    chosen: bool,
) -> Result<Started, StoreError> {
    if !store.starts_with_turns() {
        return until_answered(store, start, chosen).await;
    }
    match timeout(START_PATIENCE, link.start(start.clone(), bytes)).await {
        Ok(Some(StartAnswer::Started(started))) => Ok(started),
        Ok(Some(StartAnswer::IdTaken)) => Err(start.id_taken()),
        Ok(Some(StartAnswer::Unsent)) => until_answered(store, start, chosen).await,
        // An engine that is gone may have sent it with its last turn.
        Ok(Some(StartAnswer::Later) | None) => until_answered(store, start, true).await,
        // The time is over, so the store gets one more call, and its answer counts.
        Err(_) => store.start(start).await,
    }
}

/// Sends a start until the store answers: since each try has the same id, only one run begins. If the store keeps runs in
/// several places and the place of this id is away, another id may belong to a place that is not. The start changes its id
/// only if the caller has not `chosen` it, and only if no earlier try can have begun the run.
pub(crate) async fn until_answered(
    store: &dyn Store,
    start: &mut Start,
    chosen: bool,
) -> Result<Started, StoreError> {
    let mut others = if chosen { 0 } else { OTHER_IDS };
    let patient_until = Instant::now() + START_PATIENCE;
    let mut pause = Duration::from_millis(50);
    loop {
        match store.start(start).await {
            Err(error) if error.is_unsent() && others > 0 => {
                others -= 1;
                start.run = ids::run_id();
                continue;
            }
            // The run may have begun.
            Err(error) if error.is_retryable() && Instant::now() + pause <= patient_until => others = 0,
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Whether the error means that the store did nothing, also in earlier tries.
pub(crate) fn is_refusal(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Lane | ErrorKind::TooLarge)
}
