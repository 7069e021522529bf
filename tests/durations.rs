//! The longest durations that a program can write: they mean "for ever" to every store, and break nothing.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
}

use std::time::Duration;

use nq::{EntryType, RunStatus};
use support::every_store::on_every_store;

nq::registry!();

#[nq::event]
struct Begin {
    /// How long the retry is put off.
    delay_s: u64,
}

#[nq::worker(flow = "patient", retries = 3)]
async fn patient(begin: Begin) -> nq::Result<()> {
    match begin.delay_s {
        0 => Ok(()),
        delay_s => Err(nq::Error::retry_after("not yet", Duration::from_secs(delay_s))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_durations_mean_for_ever() {
    let longest = Duration::MAX;
    on_every_store(
        |builder| builder.lease(longest).grace(longest).retention(Some(longest), Some(longest)),
        async |nq| {
            let done = nq.start::<patient>(Begin { delay_s: 0 }).await.unwrap();
            done.completed().await.unwrap();
            // The second of these, in milliseconds, is zero in the lowest 64 bits.
            for delay_s in [u64::MAX, 1 << 61] {
                let run = nq.start::<patient>(Begin { delay_s }).await.unwrap();
                let delayed =
                    async || nq.queues().await.unwrap().iter().map(|queue| queue.delayed).sum::<u64>();
                while run.entries(vec![EntryType::StepRetrying]).await.unwrap().is_empty() {
                    tokio::task::yield_now().await;
                }
                // A job that is due at once would be leased by the turns of other runs.
                for _ in 0..3 {
                    nq.start::<patient>(Begin { delay_s: 0 }).await.unwrap().completed().await.unwrap();
                }
                assert_eq!(run.entries(vec![EntryType::StepStarted]).await.unwrap().len(), 1);
                assert!(delayed().await > 0);
                let retrying = run.entries(vec![EntryType::StepRetrying]).await.unwrap();
                assert_eq!(retrying[0].data["delayMs"], nq_core::limits::MAX_TIME_MS);
            }
            assert_eq!(done.status().await.unwrap(), RunStatus::Completed, "it is kept");
        },
    )
    .await;
}
