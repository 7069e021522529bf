//! A gather is renamed by a version of the program without `was`, and runs under its former name before a version with
//! `was` takes over. The timeline then says which events the gather did not get.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
    pub(crate) mod sound;
}

use nq::EntryType;
use nq::prelude::*;
use nq_core::entry::NewEntry;
use nq_core::id::{InstanceId, Name, QueueName, RunId};
use nq_core::store::Store;
use nq_core::transaction::{GatherArrival, GatherSpec, JobSpec, Outcome, Start, Transaction, Turn, Want};
use serde_json::json;
use support::every_store::on_every_store;
use support::sound::sound;

nq::registry!();

#[nq::event]
struct Part {
    n: u32,
}

#[nq::event]
struct Split {
    parts: u32,
}

#[nq::worker(flow = "renamed", emits = [Part])]
async fn split(split: Split, ctx: Ctx<split>) -> nq::Result<()> {
    for n in 0..split.parts {
        ctx.emit(Part { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "renamed", was = ["sum"], gathers = [Part])]
async fn total(parts: Vec<Part>) -> nq::Result<u32> {
    Ok(parts.iter().map(|part| part.n).sum())
}

fn job(worker: &str, holds: &[&str]) -> JobSpec {
    let holds = holds.iter().map(|gather| Name::new(gather).unwrap()).collect();
    JobSpec { holds, ..JobSpec::new(Name::new(worker).unwrap(), QueueName::of("renamed", worker)) }
}

/// Leaves a run as two earlier versions do. In the first, the gather is `sum`, and the entry step holds it. The second
/// calls it `total` without a `was`: it emits an event to `total`, and ends the last step that `sum` waits for. This
/// program has no worker `deploy`.
async fn earlier_versions(store: &dyn Store) -> RunId {
    let run = RunId::new("order").unwrap();
    let input = json!({ "event": "deploy", "input": null, "trigger": "manual", "registryHash": "0" });
    store
        .start(&Start {
            run: run.clone(),
            flow: Name::new("renamed").unwrap(),
            started: NewEntry::new(EntryType::FlowStarted, input),
            job: job("deploy", &["sum"]),
            gathers: vec![GatherSpec { spec: job("sum", &[]), rank: 0 }],
            fork: None,
        })
        .await
        .unwrap();
    let mut turn = Turn {
        instance: InstanceId::new("second").unwrap(),
        number: 1,
        starts: Vec::new(),
        writes: Vec::new(),
        renewals: Vec::new(),
        wants: vec![Want { queue: QueueName::of("renamed", "deploy"), max: 1 }],
        lease_ms: 60_000,
    };
    let lease = store.turn(&turn).await.unwrap().leases.remove(0);
    let mut tx = Transaction::new(run.clone(), lease.step, lease.fence, lease.attempt);
    let part = json!({ "name": "part", "payload": { "n": 7 }, "op": "1", "to": ["total"] });
    tx.entries = vec![
        NewEntry::new(EntryType::EventEmitted, part),
        NewEntry::new(EntryType::StepCompleted, json!({})),
    ];
    tx.gathered = vec![GatherArrival { worker: Name::new("total").unwrap(), entry: 0 }];
    tx.gathers = vec![GatherSpec { spec: job("total", &[]), rank: 0 }];
    tx.outcome = Outcome::Complete;
    (turn.number, turn.writes, turn.wants) = (2, vec![tx], Vec::new());
    store.turn(&turn).await.unwrap();
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gather_that_runs_without_what_came_under_another_name_says_so() {
    on_every_store(
        |builder| builder,
        async |nq| {
            let run = earlier_versions(&**nq.store()).await;
            let run = nq.run(run).unwrap();
            let completed = run.completed().await.unwrap();
            assert_eq!(completed.result_of::<u32>("sum").unwrap(), Some(0), "it had fired already");
            assert_eq!(completed.result_of::<u32>("total").unwrap(), Some(7));
            let warned = loop {
                let warned = run.entries(vec![EntryType::LogWarn]).await.unwrap();
                if !warned.is_empty() {
                    break warned;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(warned.len(), 1, "{warned:?}");
            let step = warned[0].step.as_ref().unwrap();
            assert_eq!(step.worker().as_str(), "sum", "the one that runs on less");
            let message = warned[0].data["message"].as_str().unwrap();
            for says in ["two names of worker `total`", "came under `sum`", "without what came under `total`"]
            {
                assert!(message.contains(says), "{message}");
            }
            sound(&run).await;
            // A run of today knows the gather by one name, so there is nothing to say.
            let run = nq.start::<split>(Split { parts: 4 }).await.unwrap();
            assert_eq!(run.completed().await.unwrap().result_of::<u32>("total").unwrap(), Some(6));
            assert!(run.entries(vec![EntryType::LogWarn]).await.unwrap().is_empty());
        },
    )
    .await;
}
