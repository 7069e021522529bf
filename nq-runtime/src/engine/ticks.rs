//! The ticks of an engine, by which the store does what is due for all instances.

use std::sync::Arc;
use std::time::Duration;

use nq_core::id::QueueName;
use nq_core::limits::duration_ms;
use nq_core::store::{Store, StoreError, Tick};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::settings::{Settings, after};
use super::wait::LOOK_EVERY;
use crate::unserved::Watch;

/// The shortest time between two ticks while there is work.
const APART: Duration = Duration::from_millis(20);

/// When the next tick is sent, and when the instance reports its queues with it.
pub(super) struct Ticks {
    at: Instant,
    /// When the last tick was.
    ticked_at: Option<Instant>,
    /// When the store is next told which queues this instance takes jobs from.
    serve_at: Instant,
    /// Looks for jobs that no instance takes.
    watch: Arc<Watch>,
    /// Where it looks.
    handle: Handle,
}

impl Ticks {
    pub(super) fn new(store: Arc<dyn Store>, handle: Handle, now: Instant) -> Self {
        Self { at: now, ticked_at: None, serve_at: now, watch: Arc::new(Watch::new(store)), handle }
    }

    /// When the next tick is due.
    pub(super) fn due_at(&self) -> Instant {
        self.at
    }

    /// Notes when the next job is due in the store.
    pub(super) fn no_later_than(&mut self, moment: Instant) {
        self.at = self.at.min(moment);
    }

    /// Whether it is time for a tick. Under load there is always work, and a tick must not wait until it ends. But the
    /// instance first renews its own leases, and turns must find room between ticks.
    pub(super) fn is_due(&self, now: Instant, work: bool, renewals: bool) -> bool {
        let apart = self.ticked_at.is_none_or(|ticked| now >= ticked + APART);
        now >= self.at && (!work || (apart && !renewals))
    }

    /// Whether it is time to tell the store which queues this instance takes jobs from.
    pub(super) fn serves(&self, now: Instant) -> bool {
        now >= self.serve_at
    }

    /// Sends a tick, which also reports the queues that this instance `serves` when it is time for that.
    pub(super) async fn tick(
        &mut self,
        store: &dyn Store,
        settings: &Settings,
        serves: Option<Vec<QueueName>>,
    ) -> Result<(), StoreError> {
        let (now, says) = (Instant::now(), serves.is_some());
        let tick = Tick {
            instance: settings.instance.clone(),
            lease_ms: duration_ms(settings.lease),
            retention: settings.retention,
            limit: 500,
            serves: serves.unwrap_or_default(),
        };
        let interval = LOOK_EVERY.min(settings.lease / 6);
        let ticked = store.tick(&tick).await;
        let over = Instant::now();
        self.ticked_at = Some(over);
        let ticked = match ticked {
            Ok(ticked) => ticked,
            Err(error) => {
                self.at = over + interval;
                return Err(error);
            }
        };
        if says {
            self.serve_at = after(now, settings.lease / 3);
            self.handle.spawn(self.watch.clone().look());
        }
        let next = ticked.next_due.map_or(interval, |due| interval.min(due));
        self.at = over + if ticked.more { Duration::ZERO } else { next };
        Ok(())
    }
}
