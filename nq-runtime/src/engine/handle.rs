//! The engine as the program holds it, and the thread that it lives on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::guard::Sentinel;
use super::panics::panic_text;
use super::settings::{Settings, Starting};
use super::stop::{Stop, tell};

/// The engine, as the program holds it.
#[derive(Debug)]
pub(crate) struct EngineHandle {
    stop: watch::Sender<Option<Stop>>,
    /// Tells every attempt to stop, also while the engine waits for a store that does not answer.
    told: CancellationToken,
    done: watch::Receiver<Option<Result<(), StoreError>>>,
}

impl EngineHandle {
    /// Stops leasing, lets running steps finish for as long as the grace period, and returns when the engine
    /// is done.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<(), StoreError> {
        self.tell(Stop::within(grace));
        self.stopped().await
    }

    /// Returns when the engine has ended, by itself or because it was told to.
    pub(crate) async fn stopped(&self) -> Result<(), StoreError> {
        let mut done = self.done.clone();
        let done = done.wait_for(Option::is_some).await;
        done.map_or_else(|_| Err(died("without a word")), |done| (*done).clone().unwrap_or(Ok(())))
    }

    fn tell(&self, stop: Stop) {
        self.told.cancel();
        tell(&self.stop, stop);
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        // Nobody is left to wait for a shutdown, so the running steps are handed back at once.
        self.tell(Stop::NOW);
    }
}

/// The error of `shutdown` and `stopped` if the engine's thread has died. It has handed back nothing.
fn died(how: &str) -> StoreError {
    let message =
        format!("the engine of the instance died ({how}); its jobs are taken over when their leases run out");
    StoreError::new(ErrorKind::Closed, "run", message)
}

/// Starts an engine.
pub(crate) fn spawn(settings: Settings, starting: Starting) -> std::io::Result<EngineHandle> {
    let (stop, stopping) = watch::channel(None);
    let (finished, done) = watch::channel(None);
    let told = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    starting.handle.spawn(Sentinel(starting.shared.link.clone()).stay());
    let mut engine = Engine::new(settings, starting, told.clone(), stop.clone(), stopping);
    std::thread::Builder::new().name("nq-engine".into()).spawn(move || {
        let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(engine.run())));
        let result = ran.unwrap_or_else(|panic| Err(died(&panic_text(panic))));
        // Attempts that are left learn that the engine is gone, and values of the program are dropped. This happens outside
        // of the runtime, since some values must not be dropped inside of one, and each drop may panic.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            drop(engine);
            // The runtime is not waited for, since the look-up of a name or the read of a file may hang.
            runtime.shutdown_background();
        })) {
            tracing::error!(panic = panic_text(panic), "a value of the program panicked when it was dropped");
        }
        if let Err(error) = &result {
            tracing::error!(%error, "the instance has stopped");
        }
        finished.send_replace(Some(result));
    })?;
    Ok(EngineHandle { stop, told, done })
}
