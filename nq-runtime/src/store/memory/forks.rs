//! Tests that a rerun makes the same jobs, joins and counts from the timeline that the store kept beside it, whatever the
//! run has done.

use std::collections::BTreeSet;

use fastrand::Rng;
use nq_core::decide::{self, Attempt, End, Operation, OperationKind, decide};
use nq_core::def::{Backoff, EventRef, OnFailure, WorkerDef};
use nq_core::fork::{self, Fork, ForkError};
use nq_core::id::{EntryId, Name, StepId, step_key};
use nq_core::ledger::Records;
use nq_core::record::{GatherRecord, JobRecord, JobState};
use nq_core::registry::Registry;
use nq_core::state::Change;
use nq_core::status::RunStatus;
use nq_core::store::Lease;
use nq_core::transaction::{Transaction, Want};
use serde_json::json;

use super::*;

const fn event(name: &'static str) -> EventRef {
    EventRef::untyped(name)
}
const BEGIN: EventRef = event("begin");
const X: EventRef = event("x");
const Y: EventRef = event("y");
const Z: EventRef = event("z");
const V: EventRef = event("v");
const W: EventRef = event("w");

const fn worker(name: &'static str) -> WorkerDef {
    let backoff = Backoff::Fixed { delay_ms: 0 };
    WorkerDef { name, path: name, flows: &["f"], retries: 999, backoff, ..WorkerDef::DEFAULT }
}
static A: WorkerDef = WorkerDef { input: Some(BEGIN), emits: &[X, Y], ..worker("a") };
static B: WorkerDef = WorkerDef { subscribes: &[X], emits: &[Y, Z], ..worker("b") };
static C: WorkerDef =
    WorkerDef { subscribes: &[Y], emits: &[Z, V], on_failure: OnFailure::Continue, ..worker("c") };
static J: WorkerDef = WorkerDef { joins: &[X, Y], emits: &[Z], ..worker("j") };
static K: WorkerDef = WorkerDef { joins: &[X, Y], by: Some("id"), emits: &[V], ..worker("k") };
static T: WorkerDef = WorkerDef { joins: &[Y, Y], emits: &[V], ..worker("t") };
static G: WorkerDef = WorkerDef { gathers: &[Z], emits: &[W], ..worker("g") };
static H: WorkerDef = WorkerDef { gathers: &[W], ..worker("h") };
static L: WorkerDef = WorkerDef { gathers: &[V], emits: &[W], ..worker("l") };
static WORKERS: [&WorkerDef; 9] = [&A, &B, &C, &J, &K, &T, &G, &H, &L];

/// What the store keeps of a run beside its timeline.
struct Kept {
    jobs: Vec<JobRecord>,
    gathers: Vec<GatherRecord>,
    unpaired: Vec<(Name, EntryId)>,
    lists: Vec<(Name, Vec<EntryId>)>,
}

struct World {
    store: MemoryStore,
    registry: Registry,
    rng: Rng,
    number: u64,
}

impl World {
    /// A turn that writes this, and takes one job, of any queue.
    async fn turn(&mut self, writes: Vec<Transaction>, max: u32) -> Vec<Lease> {
        self.number += 1;
        let mut wants: Vec<_> =
            WORKERS.iter().map(|def| Want { queue: QueueName::of("f", def.name), max }).collect();
        self.rng.shuffle(&mut wants);
        let instance = InstanceId::new("i").unwrap();
        let (number, renewals) = (self.number, Vec::new());
        let turn = Turn { writes, renewals, wants, ..Turn::new(instance, number, 60_000) };
        self.store.turn(&turn).await.unwrap().leases
    }

    fn write(&mut self, lease: &Lease, position: &mut u32, end: impl FnOnce(String) -> End) -> Transaction {
        let flow = self.registry.flow("f").unwrap();
        let step = &flow.steps[lease.step.worker()];
        let parents: Vec<_> = lease.inputs.iter().map(|input| input.key.as_str()).collect();
        let attempt = Attempt {
            run: lease.run.clone(),
            step: lease.step.clone(),
            fence: lease.fence,
            number: lease.attempt,
            failures: lease.failures,
            key: step_key(&lease.run, lease.step.worker(), &parents),
        };
        let mut next = || {
            *position += 1;
            position.to_string()
        };
        let mut operations = Vec::new();
        for _ in 0..self.rng.u32(0..4) {
            let kind = match &step.worker.emits {
                emits if !emits.is_empty() && self.rng.u32(0..3) > 0 => {
                    let id = [json!(1), json!(2), json!(null)][self.rng.usize(0..3)].clone();
                    let event = emits[self.rng.usize(0..emits.len())].as_str().into();
                    OperationKind::Emit { event, payload: json!({ "id": id }) }
                }
                _ => OperationKind::Change(Change::Incr { key: "n".into(), by: 1 }),
            };
            operations.push(Operation { position: next(), kind });
        }
        decide(flow, &step.worker, &attempt, &operations, end(next()))
    }

    /// Lets a run do this and that. Returns whether it still runs.
    async fn work(&mut self, run: &RunId) -> bool {
        let mut held: Vec<(Lease, u32)> = Vec::new();
        for _ in 0..self.rng.u32(1..60) {
            if held.is_empty() || self.rng.bool() {
                held.extend(self.turn(Vec::new(), 1).await.into_iter().map(|lease| {
                    let position = 100 * lease.attempt;
                    (lease, position)
                }));
                continue;
            }
            let (lease, mut position) = held.swap_remove(self.rng.usize(0..held.len()));
            let (error, roll) = ("no".to_owned(), 0.0);
            let kind = self.rng.u32(0..12);
            let fatal = kind == 0 && lease.step.worker().as_str() == "c";
            let tx = self.write(&lease, &mut position, |position| match kind {
                0 => End::Error { error, fatal, retry_after_ms: None, roll },
                1 => End::Unfit { error, roll },
                2 => End::Release,
                3 => End::Effect { position, name: "e".into(), result: json!(1) },
                4 | 5 => End::Checkpoint { position },
                _ => End::Complete { result: json!(null) },
            });
            self.turn(vec![tx], 0).await;
            if (3..6).contains(&kind) {
                held.push((lease, position));
            }
        }
        self.store.run(run).await.unwrap().unwrap().status == RunStatus::Running
    }

    fn kept(&self, run: &RunId) -> Kept {
        let look = |maps: &mut Maps| {
            let Ok(gathers) = maps.gathers(run);
            let Ok(unpaired) = maps.unpaired(run, usize::MAX);
            let of_run = &maps.runs[run];
            let mut lists: Vec<_> =
                of_run.gathered.iter().map(|(name, ids)| (name.clone(), ids.clone())).collect();
            lists.sort();
            let jobs = of_run.jobs.values().map(|job| job.record.clone()).collect();
            Kept { jobs, gathers, unpaired, lists }
        };
        self.store.look("kept", look).unwrap()
    }
}

/// Checks that the fork has the same records as the store.
fn compare(kept: &Kept, fork: &Fork) {
    let begun: BTreeSet<&StepId> = fork.entries.iter().filter_map(|entry| entry.step.as_ref()).collect();
    let fired: BTreeSet<&Name> = begun.iter().map(|step| step.worker()).collect();
    let is_gather = |name: &Name| ["g", "h", "l"].contains(&name.as_str());
    // A gather that has fired and has not begun has left nothing in the timeline: it fires once more.
    let known = |job: &&JobRecord| !is_gather(job.step.worker()) || begun.contains(&job.step);
    let mut steps: Vec<_> = kept.jobs.iter().filter(known).map(|job| &job.step).collect();
    steps.sort_by_key(|step| (step.cause(), step.worker()));
    assert_eq!(fork.jobs.iter().map(|job| &job.step).collect::<Vec<_>>(), steps);
    for job in kept.jobs.iter().filter(known) {
        let again = fork.jobs.iter().find(|again| again.step == job.step).unwrap();
        assert_eq!(
            (&again.inputs, again.read, again.recorded),
            (&job.inputs, job.read, job.recorded),
            "{job:?}"
        );
        let attempts = if job.fence == 0 { 0..=0 } else { job.ended().max(1)..=job.attempt() };
        assert!(attempts.contains(&again.earlier), "{again:?} of {job:?}");
        let holds: Vec<_> = job.spec.holds.iter().filter(|gather| !fired.contains(gather)).cloned().collect();
        assert_eq!((&again.spec.queue, &again.spec.holds), (&job.spec.queue, &holds), "{job:?}");
    }
    let mut unpaired: Vec<_> =
        fork.arrivals.iter().map(|waiting| (waiting.worker.clone(), waiting.input.id)).collect();
    unpaired.sort();
    assert_eq!(unpaired, kept.unpaired);
    assert_eq!(fork.lists, kept.lists);
    let names =
        |gathers: &[GatherRecord]| gathers.iter().map(|known| known.gather.clone()).collect::<Vec<_>>();
    assert_eq!(names(&fork.gathers), names(&kept.gathers));
    for (again, was) in fork.gathers.iter().zip(&kept.gathers) {
        let name = &was.gather.spec.worker;
        assert_eq!(again.fired, was.fired && fired.contains(name), "{name}");
        let held = fork.jobs.iter().filter(|job| job.spec.holds.contains(name)).count() as u64;
        assert_eq!(again.count, held, "{name}");
        // What a gather holds that fires once more is counted when it does.
        let later =
            kept.jobs.iter().filter(|job| !known(job) && job.spec.holds.contains(name)).count() as u64;
        assert!(again.fired || was.fired || again.count + later >= was.count, "{name}");
    }
}

#[tokio::test]
async fn a_rerun_has_what_the_store_kept_of_the_run() {
    let (mut reruns, mut completed) = (0, 0);
    for seed in 0..600 {
        let registry = Registry::new(WORKERS, []).unwrap();
        let mut world = World { store: MemoryStore::new(), registry, rng: Rng::with_seed(seed), number: 0 };
        let run = RunId::new("r").unwrap();
        let flow = world.registry.flow("f").unwrap().clone();
        let entry = &flow.steps[&Name::new("a").unwrap()];
        let start = decide::start(&flow, entry, run.clone(), json!(1), "0");
        world.store.start(&start).await.unwrap();
        let runs = world.work(&run).await;
        let kept = world.kept(&run);
        Store::act(&world.store, &run, &Act::Cancel { reason: String::new() }).await.unwrap();
        let entries = world.store.read(&Read::after(run.clone(), 0)).await.unwrap();
        println!("seed {seed}, {} entries", entries.len());
        let dead = kept.jobs.iter().any(|job| matches!(job.state, JobState::Dead { .. }));
        let start = match fork::rerun(&world.registry, &run, &flow.name, entries) {
            Ok(start) => start,
            Err(error) => {
                assert!(matches!(error, ForkError::NothingToDo { .. }) && !runs && !dead, "{error}");
                continue;
            }
        };
        assert!(runs || dead);
        compare(&kept, start.fork.as_ref().unwrap());
        (reruns, completed) = (reruns + 1, completed + u32::from(!runs));

        // It runs to its end, and each gather once.
        world.store.start(&start).await.unwrap();
        loop {
            let leases = world.turn(Vec::new(), 9).await;
            if leases.is_empty() {
                break;
            }
            let end = |_| End::Complete { result: json!(null) };
            let writes = leases.iter().map(|lease| world.write(lease, &mut 10_000, end)).collect();
            world.turn(writes, 0).await;
        }
        let rerun = world.store.run(&start.run).await.unwrap().unwrap();
        assert_eq!((rerun.status, rerun.pending), (RunStatus::Completed, 0));
        let kept = world.kept(&start.run);
        assert!(kept.gathers.iter().all(|known| known.fired && known.count == 0));
        let entries = world.store.read(&Read::after(start.run, 0)).await.unwrap();
        let mut fired: Vec<_> = entries
            .iter()
            .filter(|entry| entry.kind == nq_core::entry::EntryType::StepCompleted)
            .filter_map(|entry| Some(entry.step.as_ref()?.worker().as_str()))
            .filter(|worker| ["g", "h", "l"].contains(worker))
            .collect();
        fired.sort_unstable();
        fired.dedup();
        assert_eq!(fired.len(), kept.gathers.len());
    }
    assert!(reruns > 300 && completed > 5, "{reruns} reruns, {completed} of runs that had completed");
}
