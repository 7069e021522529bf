//! Behind sentinels: the store finds the master, and the next one when that is gone.

use std::error::Error as _;
use std::time::Duration;

use nq_core::store::{ErrorKind, Queries, Store};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, WHOLE, kinds, open, run_id, start, until_there};
use super::server::{EVERY_SECOND, RedisServer};

#[tokio::test]
async fn work_goes_on_with_the_replica_that_a_sentinel_promotes() {
    let mut master = RedisServer::start(EVERY_SECOND);
    let port = master.port().to_string();
    let of = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
    let replica = RedisServer::start(&[EVERY_SECOND, &of].concat());
    let sentinel = RedisServer::sentinel();
    for command in [
        &["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"][..],
        &["SENTINEL", "SET", "main", "down-after-milliseconds", "300", "failover-timeout", "2000"],
    ] {
        assert_eq!(sentinel.command(command), "OK", "{command:?}");
    }
    // The sentinel must know whom to promote before there is need to.
    let knows =
        async || sentinel.command(&["SENTINEL", "REPLICAS", "main"]).contains("master-link-status\nok");
    for _ in 0..1_500 {
        if knows().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(knows().await, "the sentinel does not see the replica");

    let url = format!("redis+sentinel://127.0.0.1:{}/main?durability=replicated", sentinel.port());
    let store = open(&url).await;
    let runs = [run_id("before"), run_id("after")];
    let mut one = Peer::new("one");
    store.start(&start("before", json!(1))).await.unwrap();
    // The replica has what a start was acknowledged for; what follows may be lost with the master.
    master.kill9();

    until_promoted(&replica).await;
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    let relaxed = until_there(async || RedisStore::open(&url).await).await;
    let second = start("after", json!(2));
    until_there(async || relaxed.start(&second).await).await;
    one.work(&relaxed, &runs).await;
    for run in &runs {
        // The store that was open before has found the new master, too.
        assert_eq!(until_there(async || store.run(run).await).await.map(|run| run.pending), Some(0));
        assert_eq!(kinds(&relaxed, run).await, WHOLE);
    }
    assert_eq!(replica.command(&["EXISTS", "nq:flow:after"]), "1");
}

async fn until_promoted(replica: &RedisServer) {
    for _ in 0..1_500 {
        // Who is promoted breaks its connections off.
        if replica.try_command(&["ROLE"]).is_ok_and(|role| role.starts_with("master")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the sentinel promotes nobody");
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_said() {
    let sentinel = RedisServer::sentinel();
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    let error = RedisStore::open(&url).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let said = format!("{error}: {}", error.source().unwrap());
    assert!(said.contains("none of the hosts of the URL knows where the server is"), "{said}");
}
