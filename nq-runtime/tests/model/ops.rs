//! What may happen to a store: operations that make sense in any order, so that any part of a sequence is a
//! sequence, and a failing one shrinks to the few that matter.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Something that happens. What it refers to by number is picked from what is there then.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A run begins, or begins again, with this input.
    Start { run: usize, input: u8 },
    /// The same, with the turn of an instance.
    Begin { peer: usize, run: usize },
    /// A run begins with what another has done so far.
    Rerun { of: usize, run: usize, fork: Forked },
    /// An instance takes a turn.
    Turn { peer: usize, writes: Vec<Write>, renew: Option<Pick>, want: Option<Want> },
    /// An instance offers to take a job of the entry worker, a run begins, and the instance takes a turn.
    Offered { peer: usize, run: usize },
    /// An instance sends its last turn again.
    Resend { peer: usize },
    /// An instance sends a turn with a number that is off by this.
    OffLane { peer: usize, by: i64 },
    /// A run is cancelled.
    Cancel { run: usize },
    /// A step is redriven, dead or not.
    Redrive { lease: Pick },
    /// A step logs.
    Log { lease: Pick },
    /// A queue is paused or resumed.
    Pause { worker: usize, paused: bool },
    /// An instance leaves, and comes back with a new lane.
    Leave { peer: usize },
    /// Time passes and somebody ticks, who may serve a queue. Every lease but perhaps one is renewed meanwhile.
    Pass { steps: u32, but: Option<Pick>, serves: Option<usize> },
    /// Every finished run goes that has completed, or that has not, or either.
    Retire { completed: bool, failed: bool },
    /// Somebody waits for something of a queue and of a run.
    Wait { worker: usize, run: usize, after: u64 },
    /// Somebody asks.
    Ask(Ask),
}

/// What a rerun begins with: each number is picked from what the other run has.
#[derive(Clone, Debug)]
pub(crate) struct Forked {
    /// How many entries it takes over.
    pub(crate) entries: usize,
    /// The steps that run again: the worker, its event, and how many attempts of it have ended.
    pub(crate) jobs: Vec<(usize, usize, u32)>,
    /// The events that wait at the join, each with the value by which it pairs.
    pub(crate) arrivals: Vec<(u8, usize)>,
    /// The events that gathers have got.
    pub(crate) lists: Vec<(usize, usize)>,
    /// Whether each gather has fired.
    pub(crate) fired: [bool; 2],
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// For runs of this flow in this status.
    Runs { flow: Option<usize>, status: Option<usize>, limit: usize },
    /// For jobs of this run and this worker.
    Jobs { run: Option<usize>, worker: Option<usize>, dead: bool, limit: usize },
    /// For entries.
    Read { run: usize, after: u64, upto: Option<u64>, limit: usize, events: bool, reverse: bool },
    /// For what a gather has got.
    Gathered { run: usize, gather: usize, upto: u64, from: u64, limit: usize },
}

/// A lease: the last one comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    /// Whether it may also be one that is lost or done.
    pub(crate) any: bool,
    /// How many later ones there are.
    pub(crate) at: usize,
}

/// Which jobs an instance wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Of this worker, or of all.
    pub(crate) worker: Option<usize>,
    /// At most so many of each.
    pub(crate) max: u32,
}

/// What an attempt writes.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// Whose attempt.
    pub(crate) lease: Pick,
    /// The version of the program that runs it.
    pub(crate) version: Version,
    /// What it did.
    pub(crate) did: Vec<Did>,
    /// How it ends.
    pub(crate) end: End,
}

/// A version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one before the join and the first gather got their names.
    Before,
    /// One that has the new names and does not say what they were.
    Silent,
    /// One that says so.
    Today,
}

/// What a handler did.
#[derive(Clone, Debug)]
pub(crate) enum Did {
    /// An event for this worker.
    To(usize),
    /// An event for a side of the join.
    Join { side: u32, by: u8 },
    /// An event for a gather.
    Gather(usize),
    /// A key of the state is set.
    Set(u8),
    /// A key of the state is counted up.
    Incr(u8),
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is done.
    Complete,
    /// It goes on.
    Effect,
    /// It runs again at once.
    Retry,
    /// It runs again after this many steps of time.
    Later(u64),
    /// The same, and nothing is counted against it.
    Postponed(u64),
    /// It is dead.
    Fail,
    /// It is given back.
    Release,
}

fn did() -> impl Strategy<Value = Did> {
    prop_oneof![
        3 => (1_usize..4).prop_map(Did::To),
        2 => (0_u32..2, 0_u8..2).prop_map(|(side, by)| Did::Join { side, by }),
        2 => (0_usize..2).prop_map(Did::Gather),
        1 => (0_u8..3).prop_map(Did::Set),
        1 => (0_u8..3).prop_map(Did::Incr),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        12 => Just(End::Complete),
        2 => Just(End::Effect),
        1 => Just(End::Retry),
        1 => (1_u64..9).prop_map(End::Later),
        1 => (0_u64..9).prop_map(End::Postponed),
        1 => Just(End::Fail),
        1 => Just(End::Release),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    (prop::bool::weighted(0.15), 0_usize..4).prop_map(|(any, at)| Pick { any, at })
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![6 => Just(Version::Today), 2 => Just(Version::Before), 1 => Just(Version::Silent)]
}

fn write() -> impl Strategy<Value = Write> {
    let parts = (pick(), version(), vec(did(), 0..3), end());
    parts.prop_map(|(lease, version, did, end)| Write { lease, version, did, end })
}

fn want() -> impl Strategy<Value = Want> {
    (option::weighted(0.3, 0_usize..8), 1_u32..4).prop_map(|(worker, max)| Want { worker, max })
}

fn turn() -> impl Strategy<Value = Op> {
    let renew = option::weighted(0.2, pick());
    let parts = (0_usize..3, vec(write(), 0..3), renew, option::weighted(0.8, want()));
    parts.prop_map(|(peer, writes, renew, want)| Op::Turn { peer, writes, renew, want })
}

fn forked() -> impl Strategy<Value = Forked> {
    let at = || 0_usize..64;
    let jobs = vec((0_usize..6, at(), 0_u32..3), 1..4);
    let fired = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let parts = (at(), jobs, vec((0_u8..2, at()), 0..3), vec((0_usize..2, at()), 0..4), fired);
    parts.prop_map(|(entries, jobs, arrivals, lists, fired)| Forked {
        entries,
        jobs,
        arrivals,
        lists,
        fired: fired.into(),
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let (run, limit) = (|| 0_usize..6, || 1_usize..9);
    let runs = (option::of(0_usize..2), option::of(0_usize..5), limit());
    let jobs = (option::of(run()), option::of(0_usize..8), prop::bool::weighted(0.3), limit());
    let read = (run(), 0_u64..9, option::of(0_u64..20), limit(), prop::bool::ANY, prop::bool::ANY);
    let gathered = (run(), 0_usize..3, 0_u64..40, 0_u64..4, limit());
    prop_oneof![
        runs.prop_map(|(flow, status, limit)| Ask::Runs { flow, status, limit }),
        jobs.prop_map(|(run, worker, dead, limit)| Ask::Jobs { run, worker, dead, limit }),
        read.prop_map(|(run, after, upto, limit, events, reverse)| {
            Ask::Read { run, after, upto, limit, events, reverse }
        }),
        gathered.prop_map(|(run, gather, upto, from, limit)| Ask::Gathered {
            run,
            gather,
            upto,
            from,
            limit
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let peer = || 0_usize..3;
    let run = || 0_usize..4;
    // Reruns have numbers behind those of the runs that are started.
    let any_run = || 0_usize..6;
    let pass = (1_u32..10, option::weighted(0.7, pick()), option::weighted(0.3, 0_usize..8));
    prop_oneof![
        30 => turn(),
        6 => run().prop_map(|run| Op::Start { run, input: 0 }),
        1 => any_run().prop_map(|run| Op::Start { run, input: 1 }),
        2 => (peer(), run()).prop_map(|(peer, run)| Op::Begin { peer, run }),
        2 => (any_run(), 4_usize..6, forked()).prop_map(|(of, run, fork)| Op::Rerun { of, run, fork }),
        3 => (peer(), run()).prop_map(|(peer, run)| Op::Offered { peer, run }),
        3 => peer().prop_map(|peer| Op::Resend { peer }),
        1 => (peer(), prop_oneof![Just(-1_i64), Just(1)]).prop_map(|(peer, by)| Op::OffLane { peer, by }),
        1 => any_run().prop_map(|run| Op::Cancel { run }),
        4 => (0_usize..6).prop_map(|at| Op::Redrive { lease: Pick { any: true, at } }),
        2 => pick().prop_map(|lease| Op::Log { lease }),
        2 => (0_usize..8, prop::bool::weighted(0.4))
            .prop_map(|(worker, paused)| Op::Pause { worker, paused }),
        1 => peer().prop_map(|peer| Op::Leave { peer }),
        5 => pass.prop_map(|(steps, but, serves)| Op::Pass { steps, but, serves }),
        1 => (prop::bool::ANY, prop::bool::ANY).prop_map(|(completed, failed)| Op::Retire { completed, failed }),
        1 => (0_usize..8, any_run(), 0_u64..9).prop_map(|(worker, run, after)| Op::Wait { worker, run, after }),
        4 => ask().prop_map(Op::Ask),
    ]
}

/// A sequence of operations.
pub(crate) fn sequence(length: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..length)
}
