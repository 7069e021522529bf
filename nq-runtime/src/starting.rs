//! Starts that are sent until the store answers.

use std::time::Duration;

use nq_core::store::{ErrorKind, StartAnswer, Started, Store, StoreError};
use nq_core::transaction::Start;
use tokio::time::{Instant, timeout};

use crate::ids;
use crate::link::Link;

/// How many other ids a run gets whose own belongs to a part of the store that is away.
const OTHER_IDS: u32 = 8;

/// How long a start is sent again to a store that does not answer.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Begins a run with the next turn of this instance, if that is what its store is best at, or else as
/// [`until_answered`] does. `bytes` is the size of its input.
pub(crate) async fn begin(
    store: &dyn Store,
    link: &Link,
    start: &mut Start,
    bytes: usize,
    given: bool,
) -> Result<Started, StoreError> {
    if !store.starts_with_turns() {
        return until_answered(store, start, given).await;
    }
    match timeout(START_PATIENCE, link.start(start.clone(), bytes)).await {
        Ok(Some(StartAnswer::Started(started))) => Ok(started),
        Ok(Some(StartAnswer::IdTaken)) => Err(start.id_taken()),
        Ok(Some(StartAnswer::Unsent)) => until_answered(store, start, given).await,
        // An engine that is gone may have sent it with its last turn.
        Ok(Some(StartAnswer::Later) | None) => until_answered(store, start, true).await,
        // It has had its time. What the store says now is the answer.
        Err(_) => store.start(start).await,
    }
}

/// Sends a start until the store answers: the id makes it one run. A store that keeps runs in several places may have
/// room for another id, as long as the run can be nowhere yet and nobody has `given` it its id.
pub(crate) async fn until_answered(
    store: &dyn Store,
    start: &mut Start,
    given: bool,
) -> Result<Started, StoreError> {
    let mut others = if given { 0 } else { OTHER_IDS };
    let patient_until = Instant::now() + START_PATIENCE;
    let mut pause = Duration::from_millis(50);
    loop {
        match store.start(start).await {
            Err(error) if error.is_unsent() && others > 0 => {
                others -= 1;
                start.run = ids::run_id();
                continue;
            }
            // It may be there by now.
            Err(error) if error.is_retryable() && Instant::now() + pause <= patient_until => others = 0,
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Whether the store says by an error that it did nothing, also in the tries before.
pub(crate) fn is_refusal(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Lane | ErrorKind::TooLarge)
}
