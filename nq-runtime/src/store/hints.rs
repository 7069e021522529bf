//! Wakes callers that wait in this process. A wake-up is a hint: the caller then looks for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nq_core::id::{QueueName, RunId};
use nq_core::store::Interest;
use tokio::sync::Notify;

/// The callers that wait, by what they wait for.
#[derive(Debug, Default)]
pub struct Hints {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    queues: HashMap<QueueName, Vec<Arc<Notify>>>,
    runs: HashMap<RunId, Vec<Arc<Notify>>>,
    ends: HashMap<RunId, Vec<Arc<Notify>>>,
}

/// A caller that waits. It registers first, then looks whether there is something already, then waits. So it misses
/// nothing that comes in between.
#[derive(Debug)]
pub struct Waiter<'a> {
    hints: &'a Hints,
    interest: &'a Interest,
    notify: Arc<Notify>,
}

impl Hints {
    /// Registers for this interest.
    pub fn register<'a>(&'a self, interest: &'a Interest) -> Waiter<'a> {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.lock();
        match interest {
            Interest::Queues(queues) => {
                for queue in queues {
                    waiting.queues.entry(queue.clone()).or_default().push(notify.clone());
                }
            }
            Interest::Run { run, .. } => {
                waiting.runs.entry(run.clone()).or_default().push(notify.clone());
            }
            Interest::End { run } => waiting.ends.entry(run.clone()).or_default().push(notify.clone()),
        }
        Waiter { hints: self, interest, notify }
    }

    /// A job came into this queue.
    pub fn queue(&self, queue: &QueueName) {
        wake(self.lock().queues.get(queue));
    }

    /// An entry came into the timeline of this run, and perhaps the last one.
    pub fn run(&self, run: &RunId, ended: bool) {
        let waiting = self.lock();
        wake(waiting.runs.get(run));
        if ended {
            wake(waiting.ends.get(run));
        }
    }

    /// Another process wrote something that is not known more exactly.
    pub fn all(&self) {
        let waiting = self.lock();
        waiting.queues.values().for_each(|all| wake(Some(all)));
        waiting.runs.values().chain(waiting.ends.values()).for_each(|all| wake(Some(all)));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No panic can leave the maps half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waiters: Option<&Vec<Arc<Notify>>>) {
    waiters.into_iter().flatten().for_each(|waiter| waiter.notify_one());
}

impl Waiter<'_> {
    /// Returns after the next hint since the registration.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hints.lock();
        match self.interest {
            Interest::Queues(queues) => {
                for queue in queues {
                    forget(&mut waiting.queues, queue, &self.notify);
                }
            }
            Interest::Run { run, .. } => forget(&mut waiting.runs, run, &self.notify),
            Interest::End { run } => forget(&mut waiting.ends, run, &self.notify),
        }
    }
}

fn forget<K: Hash + Eq>(map: &mut HashMap<K, Vec<Arc<Notify>>>, key: &K, notify: &Arc<Notify>) {
    let Some(all) = map.get_mut(key) else { return };
    all.retain(|other| !Arc::ptr_eq(other, notify));
    if all.is_empty() {
        map.remove(key);
    }
}
