//! A store that loses calls and replies on purpose. It proves that callers send again what must be sent again, and that a
//! store accepts a call that comes again.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nq_core::entry::Entry;
use nq_core::id::{InstanceId, QueueName, RunId};
use nq_core::record::RunRecord;
use nq_core::store::{
    Acted, ErrorKind, Gathered, Interest, JobSummary, JobsQuery, Offer, Queries, QueueCounts, Read, RunsPage,
    RunsQuery, Started, Store, StoreError, Take, Tick, Ticked, TurnReply,
};
use nq_core::transaction::{Act, LogLine, Start, Turn};

/// What goes wrong with a call. The caller sees [`ErrorKind::Unavailable`] in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call never arrives.
    Before,
    /// The call happens, and its reply is lost.
    After,
}

/// When something goes wrong.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Never.
    Healthy,
    /// Always: the store is away.
    Away,
    /// Every call panics.
    Panics,
    /// No call is answered.
    Frozen,
    /// Every call takes this much longer.
    Slow(Duration),
    /// Every other call of each verb, so that a call that is sent again at once arrives.
    EveryOther(Fault),
    /// This call, counted from 1.
    At {
        /// The call.
        call: u64,
        /// What goes wrong with it.
        fault: Fault,
    },
    /// This call of a verb, counted from 1.
    AtOf {
        /// The verb.
        verb: &'static str,
        /// The call.
        call: u64,
        /// What goes wrong with it.
        fault: Fault,
    },
    /// By chance, the same chances for the same seed.
    Random {
        /// The seed.
        seed: u64,
        /// How often a call does not arrive, in `0.0..1.0`.
        before: f64,
        /// How often a reply is lost, in `0.0..1.0`.
        after: f64,
    },
}

/// A store with faults.
#[derive(Debug)]
pub struct Faulty<S> {
    store: S,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    /// How many calls there were, in all and of each verb.
    calls: u64,
    of_verb: HashMap<&'static str, u64>,
    chance: fastrand::Rng,
}

impl<S: Store> Faulty<S> {
    /// Wraps a store, whose calls fail by this plan.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use nq::store::memory::MemoryStore;
    /// use nq::testing::{Fault, Faulty, Plan};
    ///
    /// # async fn example() -> nq::Result<()> {
    /// let store = Faulty::new(MemoryStore::new(), Plan::EveryOther(Fault::After));
    /// let store = Arc::new(store);
    /// let client = nq::Builder::new(store.clone()).client()?;
    /// assert!(client.runs().all().await.is_err(), "its reply is lost");
    /// store.follow(Plan::Healthy);
    /// assert!(client.runs().all().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(store: S, plan: Plan) -> Self {
        let state = State { plan: Plan::Healthy, calls: 0, of_verb: HashMap::new(), chance: seeded(0) };
        let faulty = Self { store, state: Mutex::new(state) };
        faulty.follow(plan);
        faulty
    }

    /// Follows another plan from now on. The count of calls goes on. See [`new`](Self::new) for an example.
    pub fn follow(&self, plan: Plan) {
        let mut state = self.state();
        if let Plan::Random { seed, .. } = plan {
            state.chance = seeded(seed);
        }
        state.plan = plan;
    }

    /// How many calls there were, including those that failed.
    ///
    /// ```
    /// use nq::store::{Queries, memory::MemoryStore};
    /// use nq::testing::{Faulty, Plan};
    ///
    /// # async fn example() {
    /// let store = Faulty::new(MemoryStore::new(), Plan::Away);
    /// assert!(store.queues().await.is_err());
    /// assert_eq!((store.calls(), store.calls_of("queues")), (1, 1));
    /// assert!(store.healthy().queues().await.is_ok());
    /// # }
    /// ```
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls of a verb there were, including those that failed. See [`calls`](Self::calls) for an example.
    pub fn calls_of(&self, verb: &'static str) -> u64 {
        self.state().of_verb.get(verb).copied().unwrap_or_default()
    }

    /// The store without the faults, to look at what is really in it. See [`calls`](Self::calls) for an example.
    pub fn healthy(&self) -> &S {
        &self.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plan and counts cannot be changed by half, so a poisoned lock does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call as the plan says: whole, without its reply, or not at all.
    async fn call<T>(
        &self,
        op: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let course = self.state().next(op);
        let fault = match course {
            Course::Fault(fault) => fault,
            Course::Slow(longer) => {
                tokio::time::sleep(longer).await;
                None
            }
            Course::Frozen => std::future::pending().await,
            Course::Panics => panic!("the call of `{op}` panics on purpose"),
        };
        let message = match fault {
            None => return call.await,
            Some(Fault::Before) => "the call was lost on purpose",
            Some(Fault::After) => {
                // The reply is lost, whatever it is.
                let _ = call.await;
                "the reply was lost on purpose"
            }
        };
        Err(StoreError::new(ErrorKind::Unavailable, op, message))
    }
}

fn seeded(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// How a call goes.
enum Course {
    Fault(Option<Fault>),
    Slow(Duration),
    Frozen,
    Panics,
}

impl State {
    /// How the next call, of this verb, goes.
    fn next(&mut self, op: &'static str) -> Course {
        self.calls += 1;
        let of_verb = self.of_verb.entry(op).or_default();
        *of_verb += 1;
        let fault = match self.plan {
            Plan::Panics => return Course::Panics,
            Plan::Frozen => return Course::Frozen,
            Plan::Slow(longer) => return Course::Slow(longer),
            Plan::Healthy => None,
            Plan::Away => Some(Fault::Before),
            Plan::EveryOther(fault) => (*of_verb % 2 == 1).then_some(fault),
            Plan::At { call, fault } => (self.calls == call).then_some(fault),
            Plan::AtOf { verb, call, fault } => (op == verb && *of_verb == call).then_some(fault),
            Plan::Random { before, after, .. } => {
                let roll = self.chance.f64();
                let fault = if roll < before { Fault::Before } else { Fault::After };
                (roll < before + after).then_some(fault)
            }
        };
        Course::Fault(fault)
    }
}

#[async_trait]
impl<S: Store> Store for Faulty<S> {
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        self.call("turn", self.store.turn(turn)).await
    }

    fn starts_with_turns(&self) -> bool {
        self.store.starts_with_turns()
    }

    async fn start(&self, start: &Start) -> Result<Started, StoreError> {
        self.call("start", self.store.start(start)).await
    }

    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        self.call("act", self.store.act(run, act)).await
    }

    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        self.call("append", self.store.append(run, lines)).await
    }

    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError> {
        self.call("wait", self.store.wait(interest, timeout)).await
    }

    async fn offer(&self, offer: &Offer, take: &Take, timeout: Duration) -> Result<(), StoreError> {
        self.call("offer", self.store.offer(offer, take, timeout)).await
    }

    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        self.call("tick", self.store.tick(tick)).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError> {
        self.call("leave", self.store.leave(instance)).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        self.call("pause", self.store.pause(queue, paused)).await
    }
}

#[async_trait]
impl<S: Store> Queries for Faulty<S> {
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        self.call("read", self.store.read(read)).await
    }

    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        self.call("gathered", self.store.gathered(gathered)).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.call("run", self.store.run(run)).await
    }

    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        self.call("runs", self.store.runs(query)).await
    }

    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.call("queues", self.store.queues()).await
    }

    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.call("jobs", self.store.jobs(query)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    async fn pauses(store: &Faulty<MemoryStore>, count: usize) -> String {
        let mut seen = String::new();
        for _ in 0..count {
            let paused = store.pause(&QueueName::of("f", "a"), true).await;
            seen.push(if paused.is_ok() { '.' } else { 'x' });
        }
        seen
    }

    #[tokio::test]
    async fn a_call_that_is_lost_does_nothing_and_one_whose_reply_is_lost_is_done() {
        let store = Faulty::new(MemoryStore::new(), Plan::At { call: 1, fault: Fault::Before });
        assert_eq!(pauses(&store, 1).await, "x");
        assert!(store.healthy().queues().await.unwrap().is_empty());
        store.follow(Plan::At { call: 2, fault: Fault::After });
        assert_eq!(pauses(&store, 3).await, "x..");
        assert!(store.healthy().queues().await.unwrap()[0].paused);
        assert_eq!(store.calls(), 4);
    }

    #[tokio::test]
    async fn plans_say_which_calls_go_wrong() {
        let store = Faulty::new(MemoryStore::new(), Plan::EveryOther(Fault::Before));
        assert_eq!(pauses(&store, 5).await, "x.x.x");
        store.follow(Plan::Away);
        assert_eq!(pauses(&store, 3).await, "xxx");
        store.follow(Plan::Healthy);
        assert_eq!(pauses(&store, 3).await, "...");
    }

    #[tokio::test]
    async fn the_same_seed_has_the_same_faults() {
        let plan = |seed| Plan::Random { seed, before: 0.25, after: 0.25 };
        let run = async |seed| pauses(&Faulty::new(MemoryStore::new(), plan(seed)), 200).await;
        let first = run(7).await;
        assert_eq!(first, run(7).await);
        assert_ne!(first, run(8).await);
        let lost = first.matches('x').count();
        assert!((60..140).contains(&lost), "{lost} of 200 at one in two");
    }
}
