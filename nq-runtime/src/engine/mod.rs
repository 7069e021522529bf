//! The engine of an instance: leases jobs, runs them, commits what comes of them. It lives on a thread of
//! its own, so that a worker that blocks its thread keeps its lease; the handlers run on the program's
//! runtime.

mod attempt;
mod begin;
mod gather;
mod guard;
mod handle;
mod later;
pub(crate) mod link;
mod logs;
pub(crate) mod panics;
mod slots;
mod stop;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nq_core::id::{InstanceId, QueueName, RunId, StepId};
use nq_core::limits::duration_ms;
use nq_core::registry::Registry;
use nq_core::store::{Answer, Interest, Lease, Offer, Retention, StoreError, Take, Tick};
use nq_core::transaction::{Outcome, Renewal, Transaction};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attempt::Kill;
pub(crate) use self::attempt::Shared;
use self::begin::{Door, Starter};
use self::guard::Sentinel;
use self::handle::Stop;
pub(crate) use self::handle::{EngineHandle, spawn};
use self::later::Later;
use self::link::Message;
use self::logs::Logs;
use self::slots::Slots;
use self::stop::StopBy;
use crate::handler::Handler;
use crate::unserved::Watch;

/// How long an instance waits for a hint before it looks for itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a lease is renewed that came without a turn: it does not last long.
const RENEW_GIVEN: Duration = Duration::from_millis(nq_core::limits::GIVEN_MS / 6);
/// Longer than any process runs, and short enough to be added to any moment: a hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How often it is looked whether runs have ended under steps that run here. A step is told of a cancel after at most
/// two of these.
const LOOK_AT_RUNS: Duration = Duration::from_millis(900);
/// The most leases that are renewed early to learn whether their runs have ended: a store must not be busy with that.
const MOST_LOOKS: usize = 500;
/// How long ticks are apart while there is work.
const TICKS_APART: Duration = Duration::from_millis(20);
/// How long a queue that was empty is not asked for jobs by turns that are taken for something else.
const FEED_EVERY: Duration = Duration::from_millis(25);
/// How long log lines wait for a turn that takes them along.
const LOGS_WAIT: Duration = Duration::from_millis(50);
/// How long it takes until it is said how many log lines were dropped.
const NOTICE_WAIT: Duration = Duration::from_secs(1);
/// The longest pause between two tries to reach a store that is away.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The moment so long after another; one that no clock reaches, where the duration is too long to be added.
fn after(moment: Instant, duration: Duration) -> Instant {
    moment.checked_add(duration).unwrap_or_else(|| moment + FOR_EVER)
}

/// What an engine is set up with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) instance: InstanceId,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) concurrency: u32,
    pub(crate) retention: Retention,
}

/// A job that this instance holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    pub(crate) run: RunId,
    pub(crate) step: StepId,
}

/// An attempt that runs.
struct Running {
    fence: u64,
    queue: QueueName,
    stop: CancellationToken,
    kill: Option<oneshot::Sender<Kill>>,
    /// When it is ended if it does not stop by itself.
    deadline: Option<Instant>,
    /// Whether its job has been handed back without it: it blocks its thread, and the instance stops.
    handed_back: bool,
    /// A newer lease of the same job, which begins when this attempt is over.
    next: Option<Lease>,
    /// How many looks at the runs of steps there had been when it began, and at the last that asked for its own.
    begun: u64,
    looked: u64,
}

/// A write that waits for a turn.
struct Waiting {
    tx: Transaction,
    bytes: usize,
    reply: Option<oneshot::Sender<Answer>>,
}

/// What an engine runs, and where.
pub(crate) struct Starting {
    pub(crate) registry: Arc<Registry>,
    pub(crate) handlers: HashMap<&'static str, &'static Handler>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    /// The program's runtime, where handlers run.
    pub(crate) handle: Handle,
}

struct Engine {
    settings: Settings,
    shared: Arc<Shared>,
    starter: Arc<Starter>,
    messages: mpsc::UnboundedReceiver<Message>,
    stopping: watch::Receiver<Option<Stop>>,
    /// Stops the instance from inside.
    stop: watch::Sender<Option<Stop>>,
    slots: Slots,
    running: HashMap<JobKey, Running>,
    writes: VecDeque<Waiting>,
    /// What a part of the store has not answered.
    later: Later,
    logs: Arc<Logs>,
    /// When log lines are appended that no turn has taken along.
    flush_at: Option<Instant>,
    /// The number of the last turn on the lane.
    turn: u64,
    /// The leases that the next turns renew.
    to_renew: VecDeque<Renewal>,
    renew_at: Instant,
    /// When it is looked next whether runs have ended under steps that run, and how often that was done.
    look_at: Instant,
    looks: u64,
    tick_at: Instant,
    /// When the store is next told which queues this instance takes jobs from.
    serve_at: Instant,
    watch: Arc<Watch>,
    /// When the last tick was.
    ticked_at: Option<Instant>,
    /// When turns ask again for jobs of queues that were empty.
    feed_at: Instant,
    /// When running steps are handed back: set when the shutdown begins.
    stop_by: Option<StopBy>,
    /// Whether the program's runtime is gone.
    runtime_gone: bool,
    /// How many times in a row the store was away, by verb.
    away: HashMap<&'static str, u32>,
    /// Whether that was said.
    away_said: bool,
    /// Whether an offer may have brought a job that is not known yet.
    offered: bool,
    /// How many times in a row a hint led to nothing.
    false_hints: u32,
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
        Self {
            slots: Slots::new(&registry, settings.concurrency),
            renew_at: after(now, settings.lease / 3),
            settings,
            logs: shared.link.logs(),
            shared: shared.clone(),
            watch: Arc::new(Watch::new(shared.store.clone())),
            starter: Arc::new(Starter { registry, handlers, shared, handle, stop: told }),
            messages,
            stopping,
            stop,
            running: HashMap::new(),
            writes: VecDeque::new(),
            later: Later::default(),
            flush_at: None,
            turn: 0,
            to_renew: VecDeque::new(),
            look_at: now + LOOK_AT_RUNS,
            looks: 0,
            tick_at: now,
            serve_at: now,
            ticked_at: None,
            feed_at: now,
            stop_by: None,
            runtime_gone: false,
            away: HashMap::new(),
            away_said: false,
            offered: false,
            false_hints: 0,
        }
    }

    async fn work(&mut self) -> Result<(), StoreError> {
        loop {
            self.drain();
            self.check_deadlines();
            self.take_up_later(Instant::now());
            let written = self.writes.is_empty() && self.later.is_empty();
            if self.stop_by.is_some() && self.running.is_empty() && written {
                self.flush_logs().await;
                return self.leave().await;
            }
            let now = Instant::now();
            self.plan_renewals(now);
            let work = self.has_work();
            if self.is_tick_due(now, work) {
                self.tick().await?;
            } else if work {
                self.take_turn().await?;
            } else if self.flush_at.is_some_and(|at| now >= at) {
                self.flush_logs().await;
            } else {
                self.pause().await;
            }
        }
    }

    /// Whether it is time for a tick. There is always work under load, and what time brings must not wait for its
    /// end; but an instance renews before it reclaims, and ticks that follow each other closely leave room for turns.
    fn is_tick_due(&self, now: Instant, work: bool) -> bool {
        let apart = self.ticked_at.is_none_or(|ticked| now >= ticked + TICKS_APART);
        now >= self.tick_at && (!work || (apart && self.to_renew.is_empty()))
    }

    /// Takes in what has been said since.
    fn drain(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
        if self.stop_by.is_none()
            && let Some(stop) = *self.stopping.borrow_and_update()
        {
            self.stop_by = Some(StopBy::of(stop));
            self.starter.stop.cancel();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write { tx, bytes, reply } => self.writes.push_back(Waiting { tx, bytes, reply }),
            Message::Gone { key } => self.over(&key),
            Message::Logs => {
                let soon = Instant::now() + LOGS_WAIT;
                self.flush_at = Some(self.flush_at.map_or(soon, |at| at.min(soon)));
            }
            Message::RunEnded { run } => self.run_ended(&run),
            Message::RuntimeGone => {
                // A program that has told its instance to stop may end its runtime.
                self.runtime_gone |= self.stopping.borrow().is_none();
                handle::tell(&self.stop, Stop::NOW);
            }
        }
    }

    /// Ends the attempts that were told to stop and had their time.
    fn check_deadlines(&mut self) {
        let now = Instant::now();
        let stopping = self.stop_by.is_some_and(|by| now >= by.kill);
        let stuck = self.stop_by.is_some_and(|by| now >= by.stuck);
        if stopping && !self.later.is_empty() {
            tracing::warn!(
                "a part of the store is away: what has finished there is done again after the lease"
            );
            self.later.clear();
        }
        for (key, running) in &mut self.running {
            let kill = if stopping {
                Kill::Shutdown
            } else if running.deadline.is_some_and(|deadline| now >= deadline) {
                Kill::Lost
            } else {
                continue;
            };
            if let Some(sender) = running.kill.take() {
                if kill == Kill::Shutdown {
                    tracing::warn!(run = %key.run, step = %key.step, "abandoned a step: it goes back to its queue");
                }
                let _ = sender.send(kill);
            } else if stuck && !running.handed_back {
                running.handed_back = true;
                let mut tx = Transaction::new(key.run.clone(), key.step.clone(), running.fence, 0);
                tx.outcome = Outcome::Release;
                self.writes.push_back(Waiting { tx, bytes: 0, reply: None });
            }
        }
    }

    fn has_work(&self) -> bool {
        let leases = self.stop_by.is_none() && self.slots.is_hungry();
        !self.writes.is_empty() || leases || !self.to_renew.is_empty()
    }

    /// A run has ended: its steps here are told, and have the grace period to stop.
    fn run_ended(&mut self, run: &RunId) {
        let deadline = after(Instant::now(), self.settings.grace);
        for (_, running) in self.running.iter_mut().filter(|(key, _)| key.run == *run) {
            running.stop.cancel();
            running.deadline.get_or_insert(deadline);
        }
        self.shared.states.forget(run);
    }

    /// A job is this instance's. It may have been told before: by an offer, and then by a turn.
    fn leased(&mut self, lease: Lease) {
        let key = JobKey { run: lease.run.clone(), step: lease.step.clone() };
        let running = self.running.get(&key);
        let latest = running.map(|running| running.next.as_ref().map_or(running.fence, |next| next.fence));
        if latest != Some(lease.fence) {
            self.slots.take(&lease.queue);
            self.begin(lease);
        }
    }

    /// Starts the attempt of a lease, or keeps it until the attempt of an earlier lease is over: a process
    /// never runs a job twice at a time.
    fn begin(&mut self, lease: Lease) {
        let key = JobKey { run: lease.run.clone(), step: lease.step.clone() };
        if let Some(running) = self.running.get_mut(&key) {
            running.stop.cancel();
            running.kill.take().map(|kill| kill.send(Kill::Lost));
            if let Some(older) = running.next.replace(lease) {
                self.slots.release(&older.queue);
            }
            return;
        }
        let queue = lease.queue.clone();
        match self.starter.begin(lease) {
            Some(running) => self.runs(key, running),
            None => self.slots.release(&queue),
        }
    }

    /// An attempt has begun.
    fn runs(&mut self, key: JobKey, running: Running) {
        self.running.insert(key, Running { begun: self.looks, ..running });
    }

    /// An attempt is over: its place is free.
    fn over(&mut self, key: &JobKey) {
        let Some(running) = self.running.remove(key) else { return };
        self.slots.release(&running.queue);
        if let Some(lease) = running.next {
            // The place of the newer lease was counted when it came.
            self.begin(lease);
        }
    }

    /// What time brings, for everyone who uses the store.
    async fn tick(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let says = self.stop_by.is_none() && now >= self.serve_at;
        let serves = if says { self.slots.queues() } else { Vec::new() };
        let tick = Tick {
            instance: self.settings.instance.clone(),
            lease_ms: duration_ms(self.settings.lease),
            retention: self.settings.retention,
            limit: 500,
            serves,
        };
        let interval = LOOK_EVERY.min(self.settings.lease / 6);
        let ticked = self.shared.store.tick(&tick).await;
        self.ticked_at = Some(Instant::now());
        match ticked {
            Ok(ticked) => {
                self.back("tick");
                if says {
                    self.serve_at = after(now, self.settings.lease / 3);
                    self.starter.handle.spawn(self.watch.clone().look());
                }
                let next = ticked.next_due.map_or(interval, |due| interval.min(due));
                self.tick_at = Instant::now() + if ticked.more { Duration::ZERO } else { next };
                // Also where nothing came of it: a hint may have been lost.
                self.slots.feed_all();
                Ok(())
            }
            Err(error) if error.is_retryable() => {
                self.away("tick", &error);
                self.tick_at = Instant::now() + interval;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until there is something to do.
    async fn pause(&mut self) {
        let mut until = self.tick_at.min(Instant::now() + LOOK_EVERY);
        if !self.running.is_empty() {
            until = until.min(self.renew_at).min(self.look_at);
        }
        if let Some(at) = self.later.at() {
            until = until.min(at);
        }
        let stops = self.stop_by.into_iter().flat_map(|by| [by.kill, by.stuck]);
        let deadlines = self.running.values().filter_map(|running| running.deadline);
        for deadline in deadlines.chain(stops) {
            if deadline > Instant::now() {
                until = until.min(deadline);
            }
        }
        until = self.flush_at.map_or(until, |at| until.min(at));
        let open = if self.stop_by.is_none() { self.slots.open() } else { Vec::new() };
        let store = self.shared.store.clone();
        // Between two steps there is a turn soon, and what it finds is as soon.
        let door = self.running.is_empty().then(|| Arc::new(Door::open(self.starter.clone())));
        self.offered = door.is_some();
        let offer = Offer {
            instance: self.settings.instance.clone(),
            queues: open,
            lease_ms: duration_ms(self.settings.lease),
            turn: self.turn,
        };
        let look = async {
            if offer.queues.is_empty() {
                std::future::pending::<()>().await;
            }
            // A hint that led to nothing several times may be stuck: it must not make a busy loop.
            if self.false_hints > 2 {
                tokio::time::sleep(Duration::from_millis(u64::from(self.false_hints.min(50)))).await;
            }
            match door.clone() {
                Some(door) => {
                    let take: Take = Arc::new(move |lease| door.enter(lease));
                    store.offer(&offer, &take, LOOK_EVERY).await
                }
                None => store.wait(&Interest::Queues(offer.queues), LOOK_EVERY).await,
            }
        };
        let mut stopping = self.stopping.clone();
        let stop = async {
            if self.stop_by.is_some() || stopping.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let mut hint = None;
        let message = tokio::select! {
            biased;
            message = self.messages.recv() => message,
            () = stop => None,
            () = sleep_until(until) => None,
            looked = look => {
                hint = Some(looked);
                None
            }
        };
        // What it does next, it does for whom it let in, too.
        if let Some((key, running)) = door.and_then(|door| door.shut()) {
            self.offered = false;
            self.slots.take(&running.queue);
            self.runs(key, running);
            self.renew_at = self.renew_at.min(Instant::now() + RENEW_GIVEN);
        } else {
            match hint {
                Some(Ok(())) => self.slots.feed_all(),
                Some(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                None => {}
            }
        }
        if let Some(message) = message {
            self.take(message);
        }
    }

    /// The store cannot be reached: said once, unless it says so itself. One failure may be the end of a
    /// connection, and nothing more.
    fn away(&mut self, verb: &'static str, error: &StoreError) {
        let times = self.away.entry(verb).or_default();
        *times += 1;
        if *times > 1 && !self.away_said && !error.logged {
            tracing::warn!(%error, "the store is away; work goes on when it is back");
            self.away_said = true;
        }
    }

    /// The store can be reached: said once, if it was said to be away.
    fn back(&mut self, verb: &'static str) {
        self.away.remove(verb);
        if self.away.is_empty() && std::mem::take(&mut self.away_said) {
            tracing::info!("the store is back");
        }
    }
}
