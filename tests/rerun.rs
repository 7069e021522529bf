//! Reruns: a run that has ended goes on in a new one, with the code of today.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
    pub(crate) mod sound;
}

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use nq::prelude::*;
use nq::store::ErrorKind;
use nq::{EntryType, ForkError, Nq, RerunError, Run, RunError, RunStatus, StartError, StepId};
use support::every_store::on_every_store;
use support::sound::sound;
use tokio::sync::Semaphore;

nq::registry!();

/// What the workers of this file share with the tests.
struct Probe {
    /// How many times the code still fails before it is mended.
    broken: AtomicU32,
    /// The attempts of each step, over all runs.
    attempts: Mutex<BTreeMap<StepId, Vec<u32>>>,
    /// The idempotency keys of each step, over all runs.
    keys: Mutex<BTreeMap<StepId, BTreeSet<String>>>,
    /// How many times each effect was done.
    effects: Mutex<BTreeMap<String, u32>>,
    /// Lets the workers go on that wait for it.
    go: Semaphore,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            broken: AtomicU32::default(),
            attempts: Mutex::default(),
            keys: Mutex::default(),
            effects: Mutex::default(),
            go: Semaphore::new(0),
        }
    }
}

impl Probe {
    fn seen<W: nq::Worker>(&self, ctx: &Ctx<W>) {
        let step = ctx.step_id().clone();
        self.attempts.lock().unwrap().entry(step.clone()).or_default().push(ctx.attempt());
        self.keys.lock().unwrap().entry(step).or_default().insert(ctx.idempotency_key());
    }

    fn effect(&self, name: &str) -> String {
        *self.effects.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        name.to_owned()
    }

    /// Whether the code is still the old one.
    fn is_broken(&self) -> bool {
        let one_less = |broken: u32| broken.checked_sub(1);
        self.broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }

    fn attempts_of(&self, worker: &str) -> Vec<Vec<u32>> {
        let attempts = self.attempts.lock().unwrap();
        let of_worker = attempts.iter().filter(|(step, _)| step.worker().as_str() == worker);
        of_worker.map(|(_, all)| all.clone()).collect()
    }
}

/// Runs a test on an instance of each store, with a probe of its own for each.
async fn on_every_store_with_a_probe(test: impl AsyncFn(&Nq, &Probe)) {
    let probe = RefCell::new(Arc::<Probe>::default());
    on_every_store(
        |builder| {
            let fresh = Arc::<Probe>::default();
            probe.replace(fresh.clone());
            builder.data(fresh)
        },
        async |nq| {
            let probe = probe.borrow().clone();
            test(nq, &probe).await;
        },
    )
    .await;
}

// A fan-out that ends in a gather, joined with the other branch of the flow.

#[nq::event]
struct Basket {
    items: u32,
}
#[nq::event]
struct Item {
    id: u32,
}
#[nq::event]
struct Priced {
    id: u32,
    by: String,
}
#[nq::event]
struct Total {
    items: Vec<u32>,
}
#[nq::event]
struct Address {
    zip: String,
}

#[nq::worker(flow = "shop", emits = [Item, Address])]
async fn unpack(basket: Basket, ctx: Ctx<unpack>, probe: Data<Probe>) -> nq::Result<()> {
    probe.seen(&ctx);
    ctx.emit(Address { zip: "8000".into() })?;
    ctx.state().set("items", &basket.items)?;
    for id in 0..basket.items {
        ctx.emit(Item { id })?;
    }
    Ok(())
}

#[nq::worker(flow = "shop", subscribes = [Item], emits = [Priced], retries = 0, concurrency = 1)]
async fn price(item: Item, ctx: Ctx<price>, probe: Data<Probe>) -> nq::Result<()> {
    probe.seen(&ctx);
    ctx.state().incr("begun", 1)?;
    ctx.checkpoint().await?;
    let name = format!("look up {} {}", item.id, ctx.idempotency_key());
    let by = ctx.run("look up", || async { nq::Ok(probe.effect(&name)) }).await?;
    if item.id == 1 && probe.is_broken() {
        return Err(nq::Error::msg("the old code"));
    }
    ctx.emit(Priced { id: item.id, by })?;
    ctx.state().incr("priced", 1)?;
    Ok(())
}

#[nq::worker(flow = "shop", gathers = [Priced], emits = [Total])]
async fn total(all: Vec<Priced>, ctx: Ctx<total>, probe: Data<Probe>) -> nq::Result<()> {
    probe.seen(&ctx);
    assert!(all.iter().all(|one| one.by.starts_with(&format!("look up {} ", one.id))));
    let mut items: Vec<_> = all.iter().map(|one| one.id).collect();
    items.sort_unstable();
    ctx.emit(Total { items })?;
    Ok(())
}

#[nq::worker(flow = "shop", joins = [Address, Total])]
async fn label(both: (Address, Total), ctx: Ctx<label>, probe: Data<Probe>) -> nq::Result<String> {
    probe.seen(&ctx);
    let priced: Option<u32> = ctx.state().get("priced").await?;
    Ok(format!("{} {:?} {priced:?}", both.0.zip, both.1.items))
}

/// A run of the flow above whose second item cannot be priced so many times.
async fn failed(nq: &Nq, probe: &Probe, times: u32) -> Run {
    probe.broken.store(times, Ordering::SeqCst);
    let run = nq.start::<unpack>(Basket { items: 3 }).await.unwrap();
    match run.completed().await {
        Err(RunError::Failed { step, error, .. }) => {
            assert_eq!((step.as_str(), error.as_str()), ("price", "the old code"));
        }
        other => panic!("{other:?}"),
    }
    run
}

/// The entries of a run before its end.
async fn before_the_end(run: &Run) -> Vec<nq::Entry> {
    let all = run.entries(Vec::new()).await.unwrap();
    all.into_iter().take_while(|entry| !entry.kind.is_terminal()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_goes_on_where_it_stopped() {
    on_every_store_with_a_probe(async |nq, probe| {
        let run = failed(nq, probe, 1).await;
        let original = (run.summary().await.unwrap(), before_the_end(&run).await);
        let done: BTreeSet<_> = { original.1.iter() }
            .filter(|entry| entry.kind == EntryType::StepCompleted)
            .filter_map(|entry| entry.step.clone())
            .collect();

        let rerun = run.rerun().await.unwrap();
        assert_eq!(rerun.id().as_str(), format!("{}~2", run.id()));
        let completed = rerun.completed().await.unwrap();
        let label = completed.result_of::<String>("label").unwrap().unwrap();
        assert_eq!(label, "8000 [0, 1, 2] Some(3)");

        // No effect is done twice, and every step has the key that it had.
        let attempts = probe.attempts.lock().unwrap().clone();
        assert!(done.iter().all(|step| attempts[step] == [1]), "{attempts:?}");
        let effects = probe.effects.lock().unwrap().clone();
        assert!(effects.len() == 3 && effects.values().all(|times| *times == 1), "{effects:?}");
        assert!(probe.keys.lock().unwrap().values().all(|keys| keys.len() == 1), "{:?}", probe.keys);
        assert!(probe.attempts_of("price").contains(&vec![1, 2]), "{attempts:?}");
        assert_eq!((probe.attempts_of("total"), probe.attempts_of("label")), (vec![vec![1]], vec![vec![1]]));
        let state = rerun.state().await.unwrap();
        assert_eq!((&state["items"], &state["begun"], &state["priced"]), (&3.into(), &3.into(), &3.into()));

        // The rerun has the timeline of the original, which stays as it is.
        let all = sound(&rerun).await;
        assert_eq!(all[0].data["rerunOf"], run.id().as_str());
        assert_eq!(all[1..original.1.len()], original.1[1..]);
        assert_eq!(
            (all[0].id, all[0].data.get("input")),
            (original.1[0].id, original.1[0].data.get("input"))
        );
        assert_eq!((run.summary().await.unwrap(), before_the_end(&run).await), original);
        sound(&run).await;
        let said = all.iter().find(|entry| entry.data.get("reason") == Some(&"rerun".into())).unwrap();
        assert_eq!(
            (&said.kind, said.attempt, &said.data["nextAttempt"]),
            (&EntryType::StepRetrying, Some(1), &2.into())
        );
        let summary = rerun.summary().await.unwrap();
        assert!(summary.started_ms >= original.0.ended_ms.unwrap());
        let listed = nq.runs().flow("shop").all().await.unwrap();
        assert_eq!(listed.iter().map(|run| &run.run).collect::<Vec<_>>(), [rerun.id(), run.id()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_is_rerun_and_each_of_them_once() {
    on_every_store_with_a_probe(async |nq, probe| {
        let run = failed(nq, probe, 2).await;
        let (one, two, three) = tokio::join!(run.rerun(), run.rerun(), run.rerun());
        let second = one.unwrap();
        assert!([two.unwrap(), three.unwrap()].iter().all(|rerun| rerun.id() == second.id()));
        assert!(matches!(second.completed().await, Err(RunError::Failed { .. })));
        // A second call returns the same rerun.
        assert_eq!(run.rerun().await.unwrap().id(), second.id());
        assert_eq!(second.status().await.unwrap(), RunStatus::Failed);

        let third = nq.run(second.id()).unwrap().rerun().await.unwrap();
        assert_eq!(third.id().as_str(), format!("{}~3", run.id()));
        let label = third.completed().await.unwrap().result_of::<String>("label").unwrap();
        assert_eq!(label.as_deref(), Some("8000 [0, 1, 2] Some(3)"));
        assert_eq!(sound(&third).await[0].data["rerunOf"], second.id().as_str());
        assert!(probe.attempts_of("price").contains(&vec![1, 2, 3]));
        assert!(probe.keys.lock().unwrap().values().all(|keys| keys.len() == 1));
        assert!(probe.effects.lock().unwrap().values().all(|times| *times == 1));
        assert_eq!(nq.runs().flow("shop").all().await.unwrap().len(), 3);
        assert_eq!(run.rerun().await.unwrap().id(), second.id());
        match third.rerun().await {
            Err(RerunError::Refused(ForkError::NothingToDo { run, status: RunStatus::Completed })) => {
                assert_eq!(run, *third.id());
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

// Runs that do not fail: one that waits, and one that goes on without a step.

#[nq::event]
struct Parcel {
    id: u32,
}
#[nq::event]
struct Sent {
    id: u32,
}

#[nq::worker(flow = "post", emits = [Sent])]
async fn hand_in(parcel: Parcel, ctx: Ctx<hand_in>, probe: Data<Probe>) -> nq::Result<()> {
    probe.seen(&ctx);
    tokio::select! {
        permit = probe.go.acquire() => permit?.forget(),
        () = ctx.stopping() => return Err(nq::Error::msg("told to stop")),
    }
    ctx.emit(Sent { id: parcel.id })?;
    Ok(())
}

#[nq::event]
struct Told {
    id: u32,
}

#[nq::worker(flow = "post", subscribes = [Sent], emits = [Told], retries = 0, on_failure = "continue")]
async fn tell(sent: Sent, ctx: Ctx<tell>, probe: Data<Probe>) -> nq::Result<()> {
    probe.seen(&ctx);
    if probe.is_broken() {
        return Err(nq::Error::msg("the old code"));
    }
    ctx.emit(Told { id: sent.id })?;
    Ok(())
}

#[nq::worker(flow = "post", subscribes = [Told])]
async fn file(told: Told) -> nq::Result<u32> {
    Ok(told.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_goes_on() {
    on_every_store_with_a_probe(async |nq, probe| {
        let run = nq.start::<hand_in>(Parcel { id: 7 }).id("parcel").await.unwrap();
        // The run still runs, so the error names `redrive`.
        match run.rerun().await {
            Err(error @ RerunError::Refused(ForkError::Running { .. })) => {
                assert!(error.to_string().contains("run.redrive(&step)"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        run.cancel("not now").await.unwrap();
        let rerun = run.rerun().await.unwrap();
        assert_eq!(rerun.id().as_str(), "parcel~2");
        // One permit for the attempt of the first run, if it has not stopped yet.
        probe.go.add_permits(2);
        assert_eq!(rerun.completed().await.unwrap().result::<u32>().unwrap(), Some(7));
        assert_eq!(run.status().await.unwrap(), RunStatus::Cancelled);
        sound(&rerun).await;
        assert!(probe.keys.lock().unwrap().values().all(|keys| keys.len() == 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_run_with_a_dead_letter_goes_on() {
    on_every_store_with_a_probe(async |nq, probe| {
        probe.go.add_permits(9);
        probe.broken.store(1, Ordering::SeqCst);
        let run = nq.start::<hand_in>(Parcel { id: 7 }).await.unwrap();
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), None);
        let rerun = run.rerun().await.unwrap();
        let completed = rerun.completed().await.unwrap();
        assert_eq!(completed.result_of::<u32>("file").unwrap(), Some(7));
        assert_eq!(
            (probe.attempts_of("hand_in"), probe.attempts_of("tell")),
            (vec![vec![1]], vec![vec![1, 2]])
        );
        sound(&rerun).await;
        // The first run keeps its dead letter, the rerun has none.
        let dead = nq::store::JobsQuery { dead: true, ..Default::default() };
        let dead: Vec<_> = nq.jobs(&dead).await.unwrap().into_iter().map(|job| job.run).collect();
        assert_eq!(dead, [run.id().clone()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rerun_is_refused() {
    on_every_store_with_a_probe(async |nq, probe| {
        probe.go.add_permits(9);
        let run = nq.start::<hand_in>(Parcel { id: 7 }).id("done").await.unwrap();
        run.completed().await.unwrap();
        match run.rerun().await {
            Err(error @ RerunError::Refused(ForkError::NothingToDo { .. })) => {
                assert!(error.to_string().contains("start a new run"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        match nq.run("gone").unwrap().rerun().await {
            Err(RerunError::Store(error)) => assert_eq!(error.kind(), ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
        // No start may use the id of a rerun.
        match nq.start::<hand_in>(Parcel { id: 7 }).id("done~2").await {
            Err(error @ StartError::Id(_)) => {
                assert!(error.to_string().contains("kept for reruns"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(nq.runs().all().await.unwrap().len(), 1);
    })
    .await;
}
