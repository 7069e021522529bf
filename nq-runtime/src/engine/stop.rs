//! How an engine is told to stop, and the moments of its shutdown.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::settings::after;

/// The longest part of a grace period that is kept for handing back unfinished steps.
const MOST_KEPT: Duration = Duration::from_secs(2);
/// How long a shutdown may take even if its grace period is shorter, so that running steps can be handed back.
const LEAST: Duration = Duration::from_secs(1);
/// How long an instance may take to hand back its jobs if nobody waits for it.
const ALONE: Duration = Duration::from_secs(10);
/// How long the engine waits for the end of an attempt that it has ended, before it hands back the job itself.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// How an instance stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// How long running steps may go on.
    pub(super) finish: Duration,
    /// When the shutdown is over, whether the store answers or not.
    pub(super) end: Duration,
}

impl Stop {
    /// A stop within this time. Its last fifth, but no more than two seconds, is for handing back.
    pub(super) fn within(grace: Duration) -> Self {
        Self { finish: grace.saturating_sub((grace / 5).min(MOST_KEPT)), end: grace.max(LEAST) }
    }

    /// At once.
    pub(super) const NOW: Self = Self { finish: Duration::ZERO, end: ALONE };
}

/// Tells an engine to stop, unless it has been told.
pub(super) fn tell(stopping: &watch::Sender<Option<Stop>>, stop: Stop) {
    stopping.send_if_modified(|told| {
        let first = told.is_none();
        if first {
            *told = Some(stop);
        }
        first
    });
}

/// The moments of a shutdown.
#[derive(Clone, Copy, Debug)]
pub(super) struct StopBy {
    /// Running steps are ended.
    pub(super) kill: Instant,
    /// The jobs of those that block their thread are handed back without them.
    pub(super) stuck: Instant,
}

impl StopBy {
    /// Those of a shutdown that begins now.
    fn of(stop: Stop) -> Self {
        let kill = after(Instant::now(), stop.finish);
        Self { kill, stuck: after(kill, STUCK_AFTER.min(stop.end.saturating_sub(stop.finish) / 2)) }
    }
}

/// Whether an engine stops, and until when.
pub(super) struct Stopping {
    /// Whether it was told to.
    told: watch::Receiver<Option<Stop>>,
    /// Stops the instance from inside.
    tell: watch::Sender<Option<Stop>>,
    /// When running steps are handed back: set when the shutdown begins.
    by: Option<StopBy>,
    /// Whether the program's runtime is gone.
    runtime_gone: bool,
}

impl Stopping {
    pub(super) fn new(tell: watch::Sender<Option<Stop>>, told: watch::Receiver<Option<Stop>>) -> Self {
        Self { told, tell, by: None, runtime_gone: false }
    }

    /// Begins the shutdown if the engine was told to stop. True if it begins now.
    pub(super) fn begin(&mut self) -> bool {
        if self.by.is_some() {
            return false;
        }
        self.by = self.told.borrow_and_update().map(StopBy::of);
        self.by.is_some()
    }

    /// The moments of the shutdown, once it has begun.
    pub(super) fn by(&self) -> Option<StopBy> {
        self.by
    }

    /// Whether the shutdown has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.by.is_some()
    }

    /// The next moment of the shutdown.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        let moments = self.by.into_iter().flat_map(|by| [by.kill, by.stuck]);
        moments.filter(|moment| *moment > now).min()
    }

    /// The runtime that handlers run on is gone: the instance stops. A program that has told its instance to stop may
    /// end its runtime.
    pub(super) fn runtime_is_gone(&mut self) {
        self.runtime_gone |= self.told.borrow().is_none();
        tell(&self.tell, Stop::NOW);
    }

    /// Whether the runtime was gone before the program told its instance to stop.
    pub(super) fn is_runtime_gone(&self) -> bool {
        self.runtime_gone
    }

    /// Returns when the engine is told to stop; never, if the shutdown has begun.
    pub(super) fn told(&self) -> impl Future<Output = ()> + use<> {
        let (mut told, begun) = (self.told.clone(), self.has_begun());
        async move {
            if begun || told.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when the time of the shutdown is over, whether the engine has ended or not.
    pub(super) fn over(&self) -> impl Future<Output = ()> + use<> {
        let mut told = self.told.clone();
        async move {
            let stop = told.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
            match stop {
                Some(stop) => tokio::time::sleep(stop.end).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_keeps_some_of_its_time_for_handing_back() {
        let s = Duration::from_secs;
        let check = |grace, finish, end| assert_eq!(Stop::within(grace), Stop { finish, end }, "{grace:?}");
        check(s(25), s(23), s(25));
        check(s(5), s(4), s(5));
        check(s(1), Duration::from_millis(800), s(1));
        check(Duration::ZERO, Duration::ZERO, LEAST);
        check(Duration::MAX, Duration::MAX.saturating_sub(MOST_KEPT), Duration::MAX);
    }
}
