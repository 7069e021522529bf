//! A start whose answer is lost: sent again for a while, and then an error that says how to find the run.

use std::sync::Arc;
use std::time::Duration;

use nq::store::memory::MemoryStore;
use nq::testing::{Fault, Faulty, Plan};
use nq::{Builder, Client, StartError};
use tokio::time::Instant;

nq::registry!();

#[nq::event]
struct Ping {}

#[nq::worker]
async fn pong(_: Ping) {}

fn client(plan: Plan) -> (Client, Arc<Faulty<MemoryStore>>) {
    let store = Arc::new(Faulty::new(MemoryStore::new(), plan));
    (Builder::new(store.clone()).client().unwrap(), store)
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_start_that_may_have_begun_carries_the_id() {
    let (client, store) = client(Plan::At { call: 1, fault: Fault::After });
    let run = client.start::<pong>(Ping {}).await.unwrap();
    store.follow(Plan::Away);
    let before = Instant::now();
    let error = client.start::<pong>(Ping {}).await.unwrap_err();
    let waited = before.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&waited), "{waited:?}");
    let StartError::Unknown { run: unknown, source } = &error else { panic!("{error}") };
    assert_ne!(unknown, run.id());
    assert!(source.is_retryable());
    assert!(error.to_string().contains(&format!("`.id(\"{unknown}\")`")), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), source.to_string());

    // The reply was lost: the run is there, and a start by its id finds it.
    store.follow(Plan::Healthy);
    let again = client.start::<pong>(Ping {}).id(unknown.as_str()).await.unwrap();
    assert_eq!(again.id(), unknown);
    assert_eq!(client.runs().all().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_outlasts_a_short_outage() {
    let (client, store) = client(Plan::Away);
    let back = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        store.follow(Plan::Healthy);
    };
    let (started, ()) = tokio::join!(client.start::<pong>(Ping {}).into_future(), back);
    assert_eq!(client.runs().all().await.unwrap()[0].run, *started.unwrap().id());
}

#[tokio::test]
async fn a_start_that_is_refused_has_not_begun() {
    let (client, _) = client(Plan::Healthy);
    client.start::<pong>(Ping {}).id("one").await.unwrap();
    client.start_json("pong", serde_json::json!({})).id("one").await.unwrap();
    let error = client.start_json("pong", serde_json::json!({ "more": 1 })).id("one").await.unwrap_err();
    assert!(matches!(error, StartError::Store(_)), "{error}");
}
