//! How attempts begin: with a lease from a turn, or, before the engine knows of it, with the job from its offer.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nq_core::id::QueueName;
use nq_core::registry::Registry;
use nq_core::store::Lease;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::attempt::{Begun, Shared, attempt};
use super::finish::Kill;
use super::guard::Guard;
use crate::handler::Handler;
use crate::link::JobKey;

/// What the engine needs to begin attempts.
pub(super) struct Starter {
    pub(super) registry: Arc<Registry>,
    pub(super) handlers: HashMap<&'static str, &'static Handler>,
    pub(super) shared: Arc<Shared>,
    /// The program's runtime, where handlers run.
    pub(super) handle: Handle,
    /// Fires when the instance stops, which tells every attempt to stop.
    pub(super) stop: CancellationToken,
}

/// What the engine holds of an attempt that has begun.
pub(super) struct Held {
    pub(super) fence: u64,
    pub(super) queue: QueueName,
    stop: CancellationToken,
    /// Ends the attempt; none once that was done.
    kill: Option<oneshot::Sender<Kill>>,
}

impl Held {
    /// Tells the attempt to stop by itself.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the attempt. False if it was ended before.
    pub(super) fn kill(&mut self, why: Kill) -> bool {
        let Some(kill) = self.kill.take() else { return false };
        // An attempt that has ended by itself ignores this.
        let _ = kill.send(why);
        true
    }
}

impl Starter {
    /// Starts the attempt of a lease; none if no worker is known for it.
    pub(super) fn begin(&self, lease: Lease) -> Option<Held> {
        // By the queue and not by the name of the step: the worker, or its flow, may have had another name.
        let step = self.registry.step(&lease.queue);
        let known = step.and_then(|(flow, step)| {
            Some((flow, &step.worker, self.handlers.get(step.worker.id.as_str()).copied()?))
        });
        let Some((flow, worker, handler)) = known else {
            // Only queues of known workers are asked for.
            tracing::error!(flow = %lease.flow, step = %lease.step, "leased a step of an unknown worker");
            return None;
        };
        let stop = self.stop.child_token();
        let (kill, killed) = oneshot::channel();
        let held =
            Held { fence: lease.fence, queue: lease.queue.clone(), stop: stop.clone(), kill: Some(kill) };
        // Made before the task: a runtime that is gone drops what is spawned on it.
        let guard = Guard::new(self.shared.link.clone(), &lease, stop.clone());
        let (shared, flow, worker) = (self.shared.clone(), flow.clone(), worker.clone());
        let begun = Begun { shared, handler, flow, worker, lease, stop, kill: killed };
        self.handle.spawn(attempt(guard, begun));
        Some(held)
    }
}

/// The door for the job that an offer brings. The engine opens it with its offer, and the attempt then begins at once,
/// before the engine knows of it. The engine shuts the door before it goes on. So the attempt begins exactly once: through
/// the door, or with the engine's next turn.
pub(super) struct Door {
    starter: Arc<Starter>,
    state: Mutex<State>,
}

struct State {
    open: bool,
    /// The attempt that has begun.
    entered: Option<(JobKey, Held)>,
}

impl Door {
    pub(super) fn open(starter: Arc<Starter>) -> Self {
        Self { starter, state: Mutex::new(State { open: true, entered: None }) }
    }

    /// Begins the attempt, unless the engine has gone on: then its next turn brings the job.
    pub(super) fn enter(&self, lease: Lease) {
        let mut state = self.lock();
        if take(&mut state.open) {
            let key = JobKey::of(&lease);
            state.entered = self.starter.begin(lease).map(|held| (key, held));
        }
    }

    /// Shuts the door, and returns the attempt that has begun through it, if one has.
    pub(super) fn shut(&self) -> Option<(JobKey, Held)> {
        let mut state = self.lock();
        state.open = false;
        state.entered.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can leave the door half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
