//! The engine of an instance: leases jobs, runs them, and commits their results. It lives on a thread of its own, so that
//! a worker that blocks its thread keeps its lease; the handlers run on the program's runtime. This file has the engine's
//! loop; each part of its state has a file of its own.

mod attempt;
mod availability;
mod begin;
mod finish;
mod flush;
mod gather;
mod guard;
mod handle;
mod outage;
mod outbox;
pub(crate) mod panics;
mod prepare;
mod running;
mod settings;
mod shutdown;
mod stop;
mod ticks;
mod turns;
mod wait;

use std::sync::Arc;

use nq_core::limits::duration_ms;
use nq_core::store::{Offer, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::attempt::Shared;
use self::availability::Availability;
use self::begin::Starter;
use self::flush::Flush;
pub(crate) use self::handle::{EngineHandle, spawn};
use self::outage::Outage;
use self::outbox::{Outbox, Waiting, WaitingStart};
use self::running::Running;
pub(crate) use self::settings::{Settings, Starting};
use self::stop::{Stop, Stopping};
use self::ticks::Ticks;
use self::wait::{LOOK_EVERY, Waits, Woken};
use crate::link::Message;

struct Engine {
    settings: Settings,
    shared: Arc<Shared>,
    messages: mpsc::UnboundedReceiver<Message>,
    /// The number of the last turn on the lane.
    turn: u64,
    outbox: Outbox,
    running: Running,
    available: Availability,
    flush: Flush,
    ticks: Ticks,
    waits: Waits,
    outage: Outage,
    stopping: Stopping,
}

impl Engine {
    fn new(
        settings: Settings,
        starting: Starting,
        told: CancellationToken,
        stop: watch::Sender<Option<Stop>>,
        stopping: watch::Receiver<Option<Stop>>,
    ) -> Self {
        let Starting { registry, handlers, shared, messages, handle } = starting;
        let now = Instant::now();
        let starter = Starter {
            registry: registry.clone(),
            handlers,
            shared: shared.clone(),
            handle: handle.clone(),
            stop: told,
        };
        Self {
            turn: 0,
            outbox: Outbox::default(),
            running: Running::new(Arc::new(starter), &settings, now),
            available: Availability::new(registry, settings.concurrency, now),
            flush: Flush::new(shared.link.lines()),
            ticks: Ticks::new(shared.store.clone(), handle, now),
            waits: Waits::default(),
            outage: Outage::default(),
            stopping: Stopping::new(stop, stopping),
            settings,
            shared,
            messages,
        }
    }

    /// Works until the instance stops: handles its messages, then does what is due, or waits.
    async fn work(&mut self) -> Result<(), StoreError> {
        loop {
            self.drain();
            self.end_overdue();
            self.running.renew(self.outbox.take_up(Instant::now()));
            if self.stopping.has_begun() && self.running.is_empty() && self.outbox.is_empty() {
                self.flush_lines().await;
                return self.leave().await;
            }
            let now = Instant::now();
            self.running.plan_renewals(now);
            let work = self.has_work();
            if self.ticks.is_due(now, work, self.running.has_renewals()) {
                self.tick().await?;
            } else if work {
                self.take_turn().await?;
            } else if self.flush.is_due(now) {
                self.flush_lines().await;
            } else {
                self.pause().await;
            }
        }
    }

    /// Whether there is something for a turn.
    fn has_work(&self) -> bool {
        let leases = !self.stopping.has_begun() && self.available.is_hungry();
        !self.outbox.is_idle() || leases || self.running.has_renewals()
    }

    /// Handles all messages that have come.
    fn drain(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
        if self.stopping.begin() {
            self.running.stop_all();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write { tx, bytes, reply } => self.outbox.push(Waiting { tx, bytes, reply }),
            Message::Start { start, bytes, reply } => {
                self.outbox.push_start(WaitingStart { start: *start, bytes, reply });
            }
            Message::Gone { key } => self.running.over(&key, &mut self.available),
            Message::Lines => self.flush.plan(),
            Message::RunEnded { run } => {
                self.running.run_ended(&run);
                self.shared.states.forget(&run);
            }
            Message::RuntimeGone => self.stopping.runtime_is_gone(),
        }
    }

    /// Ends the attempts that were told to stop and whose time for that is over.
    fn end_overdue(&mut self) {
        let by = self.stopping.by();
        if by.is_some_and(|by| Instant::now() >= by.kill) {
            self.outbox.give_up();
        }
        for tx in self.running.end_overdue(by) {
            self.outbox.push(Waiting::alone(tx));
        }
    }

    /// Sends a tick to the store, which serves all instances.
    async fn tick(&mut self) -> Result<(), StoreError> {
        let says = !self.stopping.has_begun() && self.ticks.serves(Instant::now());
        let serves = says.then(|| self.available.queues());
        match self.ticks.tick(&*self.shared.store, &self.settings, serves).await {
            Ok(()) => {
                self.outage.back("tick");
                // Also where nothing came of it: a hint may have been lost.
                self.available.feed_all();
                Ok(())
            }
            Err(error) if error.is_retryable() => {
                self.outage.away("tick", &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until there is something to do.
    async fn pause(&mut self) {
        let (until, stop) = (self.due_at(), self.stopping.told());
        let door = self.running.door();
        let offer = Offer {
            instance: self.settings.instance.clone(),
            queues: if self.stopping.has_begun() { Vec::new() } else { self.available.open() },
            lease_ms: duration_ms(self.settings.lease),
            turn: self.turn,
        };
        let (store, messages) = (&self.shared.store, &mut self.messages);
        let woken = self.waits.wait(messages, stop, until, store, offer, door.clone()).await;
        if let Some((key, held)) = door.and_then(|door| door.shut()) {
            // The offer has brought a job, even if something else has ended the wait.
            self.waits.took();
            self.running.entered(key, held, &mut self.available);
        } else {
            match woken {
                Woken::Hint(Ok(())) => self.available.feed_all(),
                Woken::Hint(Err(_)) => wait::after_error().await,
                Woken::Told(_) | Woken::Due => {}
            }
        }
        if let Woken::Told(message) = woken {
            self.take(message);
        }
    }

    /// The moment at which something is due next.
    fn due_at(&self) -> Instant {
        let now = Instant::now();
        let due = [
            self.running.due_at(now),
            self.outbox.due_at(),
            self.stopping.due_at(now),
            self.flush.due_at(),
            Some(self.ticks.due_at()),
        ];
        due.into_iter().flatten().fold(now + LOOK_EVERY, Instant::min)
    }
}
