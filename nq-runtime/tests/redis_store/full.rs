//! A server whose memory is full: what has to make room can, and work goes on by itself.

use std::time::Duration;

use nq_core::store::{Answer, ErrorKind, Queries, Retention, Store, Tick};
use serde_json::json;

use super::flow::{Peer, done, open, run_id, start, tick, until_there};
use super::server::{EVERY_SECOND, RedisServer};

#[tokio::test]
async fn the_retention_makes_room_on_a_server_that_is_full() {
    for options in ["", "partitions=2"] {
        let full = ["--maxmemory", "6mb", "--maxmemory-policy", "noeviction"];
        let server = RedisServer::start(&[EVERY_SECOND, &full].concat());
        let store = open(&server.url(options)).await;
        let mut one = Peer::new("one");
        let held = start("held", json!(1));
        store.start(&held).await.unwrap();
        let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
        let input = json!("x".repeat(20_000));
        let mut runs = 0;
        let error = loop {
            assert!(runs < 1_000, "it is never full");
            let error = match store.start(&start(&format!("r{runs}"), input.clone())).await {
                Ok(_) => {
                    let lease = one.next(Vec::new(), &[("a", 1)]);
                    match store.turn(&lease).await {
                        Ok(reply) => {
                            let end = one.next(vec![done(&reply.leases[0], None)], &[]);
                            store.turn(&end).await.err()
                        }
                        Err(error) => Some(error),
                    }
                }
                Err(error) => Some(error),
            };
            runs += 1;
            if let Some(error) = error {
                break error;
            }
        };
        assert!(runs > 20, "{runs} runs fill it");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let error = store.start(&start("another", input.clone())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("full (`maxmemory`)"), "{error}");
        // What is there can be read.
        assert!(store.run(&run_id("held")).await.unwrap().is_some());

        // The commit of the step that runs waits until there is room, and is then written once.
        one = Peer::new("two");
        let ticks = async {
            let retention = Retention { completed_ms: Some(0), failed_ms: None };
            let tick = Tick { retention, limit: 5, ..tick() };
            let mut removed = 0;
            for _ in 0..1_000 {
                removed += store.tick(&tick).await.map_or(0, |ticked| ticked.removed);
                if removed + 2 >= runs {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{removed} of {runs} runs were removed");
        };
        let commit = async {
            let reply = one.turn(&store, vec![done(&lease, None)], &[]).await;
            assert!(matches!(reply.answers[..], [Answer::Committed { .. }]), "{:?}", reply.answers);
        };
        futures_util::future::join(ticks, commit).await;
        until_there(async || store.start(&start("after", input.clone())).await).await;
        store.leave(&one.id).await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_may_leave_a_server_that_is_full() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut one = Peer::new("one");
    one.turn(&store, Vec::new(), &[("a", 1)]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let turn = one.next(Vec::new(), &[("a", 1)]);
    assert_eq!(store.turn(&turn).await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.leave(&one.id).await.unwrap();
    assert_eq!(server.command(&["EXISTS", "nq:lane:one"]), "0");
}
