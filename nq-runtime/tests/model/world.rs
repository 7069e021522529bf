//! One store in which the operations happen, and those who use it.

use std::any::Any;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nq_core::conformance::TestClock;
use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{InstanceId, RunId, StepId};
use nq_core::record::JobState;
use nq_core::store::{
    Answer, JobSummary, Lease, Offer, RenewAnswer, Retention, Started, Store, StoreError, Take, Tick,
};
use nq_core::transaction::{Act, LogLine, Outcome, Start, Transaction, Turn, Want};
use serde_json::{Value, json};

use super::flow::{FLOWS, WORKERS, name, queue, renewal, run_id, transaction};
use super::ops::{End, Forked, Op, Pick, Version};
use super::rerun;
use super::seen::all_jobs;
use super::told::{error, started, told};

/// How long a lease lasts. Time passes in steps of a quarter of it, so that no tick is late.
const LEASE_MS: u64 = 400;
const STEP_MS: u64 = LEASE_MS / 4;

/// A store and those who use it.
pub(crate) struct World {
    pub(super) store: Arc<dyn Store>,
    /// The clock that it goes by, where a test can move it. Without one, nothing happens that needs time.
    clock: Option<Arc<TestClock>>,
    /// Whether replies are lost: calls are sent again, and what only a reply could tell is not told.
    lossy: bool,
    peers: Vec<Peer>,
    /// Every lease that was ever given.
    leases: Vec<Lease>,
    /// Those of them that are lost or done, as far as answers have told.
    over: HashSet<(RunId, StepId, u64)>,
    /// How many operations there were.
    count: u64,
    /// The moments at which jobs are due. No two are the same, since which of two comes first is nobody's
    /// promise.
    dues: BTreeSet<u64>,
    _kept: Option<Box<dyn Any>>,
}

struct Peer {
    id: InstanceId,
    last: Option<Turn>,
}

impl World {
    /// An empty store, and the clock that it goes by.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Option<Arc<TestClock>>, lossy: bool) -> Self {
        let peer = |id| Peer { id: InstanceId::new(id).unwrap(), last: None };
        let peers = ["one", "two", "three", "keeper"].map(peer).into();
        Self {
            store,
            clock,
            lossy,
            peers,
            leases: Vec::new(),
            over: HashSet::new(),
            count: 0,
            dues: BTreeSet::new(),
            _kept: None,
        }
    }

    /// Keeps this, a folder, for as long as the store.
    pub(crate) fn keep(self, what: impl Any) -> Self {
        Self { _kept: Some(Box::new(what)), ..self }
    }

    pub(super) async fn resend<T>(
        &self,
        call: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..100 {
            match call().await {
                Err(error) if self.lossy && error.is_retryable() => {}
                result => return result,
            }
        }
        panic!("the store stays away")
    }

    /// Lets it happen, and tells what was answered.
    pub(crate) async fn apply(&mut self, op: &Op) -> Value {
        self.count += 1;
        // The clock never stands still between two operations.
        if let Some(clock) = &self.clock {
            clock.advance(1);
        } else if matches!(op, Op::Pass { .. } | Op::Retire { .. }) {
            return Value::Null;
        }
        match op {
            Op::Start { run, input } => self.begin(begin(*run, *input)).await,
            Op::Begin { peer, run } => {
                let turn = Turn { starts: vec![begin(*run, 0)], ..self.next(*peer) };
                self.turn(*peer, turn).await
            }
            Op::Turn { peer, writes, renew, want } => {
                let mut turn = self.next(*peer);
                for write in writes {
                    if let Some(lease) = self.pick(write.lease).cloned() {
                        let delay_ms = self.delay_ms(write.end);
                        turn.writes.push(transaction(&lease, write, self.count, delay_ms));
                    }
                }
                turn.renewals = renew.and_then(|pick| self.pick(pick)).map(renewal).into_iter().collect();
                if let Some(want) = want {
                    let workers = WORKERS.iter().enumerate();
                    let wanted = workers.filter(|(at, _)| want.worker.is_none_or(|worker| worker == *at));
                    let wants = wanted.map(|(_, worker)| Want { queue: queue(worker), max: want.max });
                    turn.wants = wants.collect();
                }
                self.turn(*peer, turn).await
            }
            Op::Offered { peer, run } => self.offered(*peer, *run).await,
            Op::Resend { peer } => match self.peers[*peer].last.clone() {
                Some(last) => self.turn(*peer, last).await,
                None => Value::Null,
            },
            Op::OffLane { peer, by } => {
                let number = self.next(*peer).number.saturating_add_signed(*by - i64::from(*by < 0));
                let turn = Turn { number, ..self.next(*peer) };
                let reply = self.resend(async || self.store.turn(&turn).await).await;
                reply.map_or_else(error, |_| json!("taken"))
            }
            Op::Cancel { run } => self.act(&run_id(*run), Act::Cancel { reason: "enough".into() }).await,
            Op::Redrive { lease } => match self.pick(*lease).cloned() {
                Some(lease) => self.act(&lease.run, Act::Redrive { step: lease.step }).await,
                None => Value::Null,
            },
            Op::Log { lease } => match self.pick(*lease).cloned() {
                Some(lease) => self.log(&lease).await,
                None => Value::Null,
            },
            Op::Pause { worker, paused } => {
                let queue = queue(WORKERS[*worker]);
                self.resend(async || self.store.pause(&queue, *paused).await).await.unwrap();
                Value::Null
            }
            Op::Leave { peer } => self.leave(*peer).await,
            Op::Pass { steps, but, serves } => self.pass(*steps, *but, *serves).await,
            Op::Retire { completed, failed } => {
                let gone = |gone: bool| gone.then_some(0);
                let retention = Retention { completed_ms: gone(*completed), failed_ms: gone(*failed) };
                self.tick(retention, None).await
            }
            Op::Rerun { of, run, fork } => self.rerun(*of, *run, fork).await,
            Op::Wait { worker, run, after } => self.wait(WORKERS[*worker], *run, *after).await,
            Op::Ask(ask) => self.ask(ask).await,
        }
    }

    fn is_over(&self, lease: &Lease) -> bool {
        self.over.contains(&(lease.run.clone(), lease.step.clone(), lease.fence))
    }

    fn pick(&self, pick: Pick) -> Option<&Lease> {
        let fits = |lease: &&Lease| pick.any || !self.is_over(lease);
        let count = self.leases.iter().filter(fits).count();
        self.leases.iter().rev().filter(fits).nth(pick.at % count.max(1))
    }

    fn next(&self, peer: usize) -> Turn {
        let peer = &self.peers[peer];
        Turn {
            instance: peer.id.clone(),
            number: peer.last.as_ref().map_or(0, |last| last.number) + 1,
            starts: Vec::new(),
            writes: Vec::new(),
            renewals: Vec::new(),
            wants: Vec::new(),
            lease_ms: if self.clock.is_some() { LEASE_MS } else { 1 << 30 },
        }
    }

    /// How long it takes until an attempt that ends like this runs again.
    fn delay_ms(&mut self, end: End) -> u64 {
        let (End::Later(steps @ 1..) | End::Postponed(steps @ 1..)) = end else { return 0 };
        // Without a clock, never.
        let Some(now_ms) = self.clock.as_ref().map(|clock| clock.now_ms()) else { return 1 << 40 };
        let mut due_ms = now_ms + steps * STEP_MS;
        while !self.dues.insert(due_ms) {
            due_ms += 1;
        }
        due_ms - now_ms
    }

    async fn rerun(&self, of: usize, run: usize, forked: &Forked) -> Value {
        let of = run_id(of);
        let known = self.resend(async || self.store.run(&of).await).await.unwrap();
        if known.is_none() {
            return Value::Null;
        }
        let timeline = self.timeline(&of).await;
        self.begin(rerun::start(run_id(run), &of, timeline, forked)).await
    }

    async fn begin(&self, start: Start) -> Value {
        match self.resend(async || self.store.start(&start).await).await {
            Ok(_) if self.lossy => json!("started"),
            Ok(Started::New(id)) => json!({ "new": id.n }),
            Ok(Started::Existing) => json!("existing"),
            Err(failure) => error(failure),
        }
    }

    /// Whether a store gives the job to the instance that has offered to take it, or brings it by the turn, is its own
    /// affair: after the turn the one looks like the other.
    async fn offered(&mut self, peer: usize, run: usize) -> Value {
        let queue = queue("a");
        let mut turn = self.next(peer);
        let offer = Offer {
            instance: turn.instance.clone(),
            queues: vec![queue.clone()],
            lease_ms: turn.lease_ms,
            turn: turn.number - 1,
        };
        let take: Take = Arc::new(|_| {});
        let offered = self.resend(async || self.store.offer(&offer, &take, Duration::ZERO).await).await;
        let started = self.begin(begin(run, 0)).await;
        turn.wants.push(Want { queue, max: 1 });
        json!([offered.map_err(error).err(), started, self.turn(peer, turn).await])
    }

    async fn turn(&mut self, peer: usize, turn: Turn) -> Value {
        let reply = self.resend(async || self.store.turn(&turn).await).await;
        let told_of = turn.clone();
        self.peers[peer].last = Some(turn);
        match reply {
            Ok(reply) => {
                let mut told = told(&reply);
                // A start that is sent again finds its run.
                if !self.lossy {
                    told["started"] = reply.started.iter().map(started).collect();
                }
                for (tx, answer) in told_of.writes.into_iter().zip(&reply.answers) {
                    let goes_on =
                        tx.outcome == Outcome::Continue && matches!(answer, Answer::Committed { .. });
                    if !goes_on {
                        self.over.insert((tx.run, tx.step, tx.fence));
                    }
                }
                for (renewal, answer) in told_of.renewals.into_iter().zip(&reply.renewed) {
                    if *answer != RenewAnswer::Renewed {
                        self.over.insert((renewal.run, renewal.step, renewal.fence));
                    }
                }
                for lease in reply.leases {
                    if !self.leases.contains(&lease) {
                        self.leases.push(lease);
                    }
                }
                told
            }
            Err(failure) => error(failure),
        }
    }

    async fn act(&self, run: &RunId, act: Act) -> Value {
        match self.resend(async || self.store.act(run, &act).await).await {
            Ok(_) if self.lossy => json!("acted"),
            Ok(acted) => json!(format!("{acted:?}")),
            Err(failure) => error(failure),
        }
    }

    /// Logging is not safe to send again: whether it happened is looked up.
    async fn log(&self, lease: &Lease) -> Value {
        let line = LogLine {
            step: lease.step.clone(),
            attempt: lease.attempt,
            entry: NewEntry::new(EntryType::LogInfo, json!({ "message": self.count.to_string() })),
        };
        let last = async || {
            self.resend(async || self.store.run(&lease.run).await).await.unwrap().map(|run| run.last)
        };
        let before = last().await;
        let logged = self.resend(async || {
            if self.lossy && last().await != before {
                return Ok(());
            }
            self.store.append(&lease.run, std::slice::from_ref(&line)).await
        });
        logged.await.map_or_else(error, |()| Value::Null)
    }

    /// Gives back what it holds, as an instance that stops does, and leaves. While it still holds something,
    /// it stays: when a store notices that a holder is gone is its own affair.
    async fn leave(&mut self, peer: usize) -> Value {
        let id = self.peers[peer].id.clone();
        let holds =
            |job: &JobSummary| matches!(&job.state, JobState::Leased { instance, .. } if *instance == id);
        let held: Vec<_> = self.jobs(all_jobs()).await.into_iter().filter(holds).collect();
        let mut turn = self.next(peer);
        for lease in &self.leases {
            if held.iter().any(|job| job.run == lease.run && job.step == lease.step) {
                let tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
                turn.writes.push(Transaction { outcome: Outcome::Release, ..tx });
            }
        }
        let told = self.turn(peer, turn).await;
        if !self.jobs(all_jobs()).await.iter().any(holds) {
            self.resend(async || self.store.leave(&id).await).await.unwrap();
            self.peers[peer].last = None;
        }
        told
    }

    /// Lets time pass in steps. Every lease but one is renewed before each tick, so that the order in which
    /// leases run out, which is nobody's promise, does not show.
    async fn pass(&mut self, steps: u32, but: Option<Pick>, serves: Option<usize>) -> Value {
        let but = but.and_then(|pick| self.pick(pick)).cloned();
        let mut told = Vec::new();
        for _ in 0..steps {
            if let Some(clock) = &self.clock {
                clock.advance(STEP_MS);
            }
            let mut turn = self.next(3);
            let kept =
                self.leases.iter().filter(|lease| !self.is_over(lease) && Some(*lease) != but.as_ref());
            turn.renewals = kept.map(renewal).collect();
            told.push(self.turn(3, turn).await);
            told.push(self.tick(Retention { completed_ms: None, failed_ms: None }, serves).await);
        }
        json!(told)
    }

    async fn tick(&self, retention: Retention, serves: Option<usize>) -> Value {
        let tick = Tick {
            instance: self.peers[3].id.clone(),
            lease_ms: LEASE_MS,
            retention,
            limit: 1_000,
            serves: serves.map(|worker| queue(WORKERS[worker])).into_iter().collect(),
        };
        let ticked = self.resend(async || self.store.tick(&tick).await).await.unwrap();
        if self.lossy {
            Value::Null
        } else {
            json!([ticked.due, ticked.expired, ticked.removed, ticked.more])
        }
    }
}

/// The beginning of a run. One run is of another flow than the rest, and one of another version.
fn begin(run: usize, input: u8) -> Start {
    let data = json!({ "event": "begin", "input": input, "trigger": "manual", "registryHash": "0" });
    let started = NewEntry::new(EntryType::FlowStarted, data);
    let flow = name(FLOWS[usize::from(run == 3)]);
    let version = if run == 2 { Version::Before } else { Version::Today };
    let (job, gathers) = (version.job("a"), version.gathers());
    Start { run: run_id(run), flow, started, job, gathers, fork: None }
}
