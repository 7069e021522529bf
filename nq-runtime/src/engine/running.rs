//! The attempts that run: begins an attempt for each lease, renews the leases, and ends attempts whose time is over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nq_core::decide;
use nq_core::id::{QueueName, RunId};
use nq_core::limits;
use nq_core::store::{Lease, RenewAnswer};
use nq_core::transaction::{Renewal, Transaction};
use tokio::time::Instant;

use super::availability::Availability;
use super::begin::{Door, Held, Starter};
use super::finish::Kill;
use super::settings::{Settings, after};
use super::stop::StopBy;
use crate::link::JobKey;

/// How soon the lease of an offer is renewed, which does not last long.
const RENEW_GIVEN: Duration = Duration::from_millis(limits::GIVEN_MS / 6);
/// How often the engine looks whether runs have ended whose steps run here. A step is told of a cancel after at most two
/// of these.
const LOOK_AT_RUNS: Duration = Duration::from_millis(900);
/// The most leases that are renewed early to learn whether their runs have ended: a store must not be busy with that.
const MOST_LOOKS: usize = 500;

/// The attempts that run in this instance, by the jobs that it holds.
pub(super) struct Running {
    starter: Arc<Starter>,
    attempts: HashMap<JobKey, Attempt>,
    lease: Duration,
    /// How long an attempt may go on whose run has ended.
    grace: Duration,
    /// The leases that the next turns renew.
    to_renew: VecDeque<Renewal>,
    renew_at: Instant,
    /// When the engine looks next whether runs have ended whose steps run here, and how often it has looked.
    look_at: Instant,
    looks: u64,
}

/// An attempt that runs.
struct Attempt {
    held: Held,
    /// When it is ended if it does not stop by itself.
    deadline: Option<Instant>,
    /// Whether its job has been handed back without it: it blocks its thread, and the instance stops.
    handed_back: bool,
    /// A newer lease of the same job, which begins when this attempt is over.
    next: Option<Lease>,
    /// The number of the look when the attempt began, or of the last look that asked for its run.
    begun: u64,
    looked: u64,
}

impl Attempt {
    /// Tells it to stop by itself, within a time.
    fn stop_by(&mut self, deadline: Instant) {
        self.held.stop();
        self.deadline.get_or_insert(deadline);
    }
}

impl Running {
    pub(super) fn new(starter: Arc<Starter>, settings: &Settings, now: Instant) -> Self {
        Self {
            starter,
            attempts: HashMap::new(),
            lease: settings.lease,
            grace: settings.grace,
            to_renew: VecDeque::new(),
            renew_at: after(now, settings.lease / 3),
            look_at: now + LOOK_AT_RUNS,
            looks: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The queue of a job that is held here.
    pub(super) fn queue_of(&self, key: &JobKey) -> Option<&QueueName> {
        self.attempts.get(key).map(|attempt| &attempt.held.queue)
    }

    /// A door for the job of an offer, if no attempt runs. While attempts run, there is a turn soon, which finds new jobs
    /// just as fast.
    pub(super) fn door(&self) -> Option<Arc<Door>> {
        self.is_empty().then(|| Arc::new(Door::open(self.starter.clone())))
    }

    /// The instance has leased a job. It may learn so twice: from an offer, and then from a turn.
    pub(super) fn leased(&mut self, lease: Lease, places: &mut Availability) {
        let attempt = self.attempts.get(&JobKey::of(&lease));
        let latest =
            attempt.map(|attempt| attempt.next.as_ref().map_or(attempt.held.fence, |next| next.fence));
        if latest != Some(lease.fence) {
            places.take(&lease.queue);
            self.begin(lease, places);
        }
    }

    /// The job of an offer has begun ahead of the engine.
    pub(super) fn entered(&mut self, key: JobKey, held: Held, places: &mut Availability) {
        places.take(&held.queue);
        self.runs(key, held);
        self.renew_at = self.renew_at.min(Instant::now() + RENEW_GIVEN);
    }

    /// Starts the attempt of a lease, or keeps it until the attempt of an earlier lease is over: a process
    /// never runs a job twice at a time.
    fn begin(&mut self, lease: Lease, places: &mut Availability) {
        let key = JobKey::of(&lease);
        if let Some(attempt) = self.attempts.get_mut(&key) {
            attempt.held.stop();
            attempt.held.kill(Kill::Lost);
            if let Some(older) = attempt.next.replace(lease) {
                places.release(&older.queue);
            }
            return;
        }
        let queue = lease.queue.clone();
        match self.starter.begin(lease) {
            Some(held) => self.runs(key, held),
            None => places.release(&queue),
        }
    }

    /// An attempt has begun.
    fn runs(&mut self, key: JobKey, held: Held) {
        let begun = self.looks;
        let attempt = Attempt { held, deadline: None, handed_back: false, next: None, begun, looked: 0 };
        self.attempts.insert(key, attempt);
    }

    /// An attempt is over: its place is free.
    pub(super) fn over(&mut self, key: &JobKey, places: &mut Availability) {
        let Some(attempt) = self.attempts.remove(key) else { return };
        places.release(&attempt.held.queue);
        if let Some(lease) = attempt.next {
            // The place of the newer lease was counted when it came.
            self.begin(lease, places);
        }
    }

    /// The instance stops: tells every attempt to stop.
    pub(super) fn stop_all(&self) {
        self.starter.stop.cancel();
    }

    /// A run has ended: tells its steps here to stop, within the grace period.
    pub(super) fn run_ended(&mut self, run: &RunId) {
        let deadline = after(Instant::now(), self.grace);
        for (_, attempt) in self.attempts.iter_mut().filter(|(key, _)| key.run == *run) {
            attempt.stop_by(deadline);
        }
    }

    /// Ends the attempts that were told to stop and whose time for that is over. An attempt that blocks its thread cannot be
    /// ended. In a shutdown, the returned transactions hand back the jobs of such attempts.
    pub(super) fn end_overdue(&mut self, stop_by: Option<StopBy>) -> Vec<Transaction> {
        let now = Instant::now();
        let stopping = stop_by.is_some_and(|by| now >= by.kill);
        let stuck = stop_by.is_some_and(|by| now >= by.stuck);
        let mut handed_back = Vec::new();
        for (key, attempt) in &mut self.attempts {
            let kill = if stopping {
                Kill::Shutdown
            } else if attempt.deadline.is_some_and(|deadline| now >= deadline) {
                Kill::Lost
            } else {
                continue;
            };
            if attempt.held.kill(kill) {
                if kill == Kill::Shutdown {
                    tracing::warn!(run = %key.run, step = %key.step, "abandoned a step: it goes back to its queue");
                }
            } else if stuck && !attempt.handed_back {
                attempt.handed_back = true;
                let (run, step) = (key.run.clone(), key.step.clone());
                handed_back.push(decide::give_back(run, step, attempt.held.fence, 0));
            }
        }
        handed_back
    }

    /// The next moment at which an attempt is ended or a lease is renewed; none if nothing runs.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let deadlines = self.attempts.values().filter_map(|attempt| attempt.deadline);
        let next = deadlines.filter(|deadline| *deadline > now).min();
        let renewal = self.renew_at.min(self.look_at);
        Some(next.map_or(renewal, |next| next.min(renewal)))
    }
}

/// Renewals.
impl Running {
    /// Whether leases wait to be renewed.
    pub(super) fn has_renewals(&self) -> bool {
        !self.to_renew.is_empty()
    }

    /// Plans the renewals that are due: of each lease after a third of its time, and earlier of leases that have been held
    /// for a while, since the answer tells whether their runs have ended.
    pub(super) fn plan_renewals(&mut self, now: Instant) {
        if now < self.renew_at && now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_AT_RUNS;
        self.looks += 1;
        if now >= self.renew_at {
            self.renew_at = after(now, self.lease / 3);
            self.to_renew =
                self.attempts.iter().map(|(key, attempt)| renewal(key, attempt.held.fence)).collect();
        } else {
            self.plan_looks();
        }
    }

    /// Plans the renewal of the leases that have been held for a while.
    fn plan_looks(&mut self) {
        let looks = self.looks;
        // Most steps end before the second look, and so cost nothing here.
        let held = self.attempts.iter_mut().filter(|(_, attempt)| attempt.begun + 1 < looks);
        let mut held: Vec<_> = held.collect();
        if held.len() > MOST_LOOKS {
            held.sort_unstable_by_key(|(_, attempt)| attempt.looked);
            held.truncate(MOST_LOOKS);
        }
        for (key, attempt) in held {
            attempt.looked = looks;
            self.to_renew.push_back(renewal(key, attempt.held.fence));
        }
    }

    /// The end of a step may have ended its run. Plans renewals for the other steps of the run here, whose answers tell.
    pub(super) fn look_at_run_of(&mut self, ended: &JobKey) {
        let others = self.attempts.iter().filter(|(key, _)| key.run == ended.run && *key != ended);
        self.to_renew.extend(others.map(|(key, attempt)| renewal(key, attempt.held.fence)));
    }

    /// Renews these leases soon.
    pub(super) fn renew(&mut self, renewals: Vec<Renewal>) {
        self.to_renew.extend(renewals);
    }

    /// The leases to renew, at most `max`; the rest waits for the next turn.
    pub(super) fn take_renewals(&mut self, max: usize) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        while renewals.len() < max
            && let Some(renewal) = self.to_renew.pop_front()
        {
            if self.of(&renewal).is_some() {
                renewals.push(renewal);
            }
        }
        renewals
    }

    /// Applies the answer to a renewal. True if the renewal is to be sent again later.
    pub(super) fn renewed(&mut self, renewal: &Renewal, answer: RenewAnswer) -> bool {
        let grace = self.grace;
        let Some(attempt) = self.of(renewal) else { return false };
        match answer {
            RenewAnswer::Renewed => {}
            RenewAnswer::LeaseLost => attempt.stop_by(Instant::now()),
            RenewAnswer::RunEnded => attempt.stop_by(after(Instant::now(), grace)),
            RenewAnswer::Later => return true,
        }
        false
    }

    /// The attempt whose lease this renews, if it still runs.
    fn of(&mut self, renewal: &Renewal) -> Option<&mut Attempt> {
        let key = JobKey { run: renewal.run.clone(), step: renewal.step.clone() };
        self.attempts.get_mut(&key).filter(|attempt| attempt.held.fence == renewal.fence)
    }
}

fn renewal(key: &JobKey, fence: u64) -> Renewal {
    Renewal { run: key.run.clone(), step: key.step.clone(), fence }
}
