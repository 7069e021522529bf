//! What a server must be, and what a URL can ask of it.

use nq_core::store::{ErrorKind, Queries, Store, StoreError};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, open, start};
use super::server::{ALWAYS, EVERY_SECOND, RedisServer, VOLATILE};

async fn refused(url: &str) -> StoreError {
    let error = RedisStore::open(url).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error
}

#[tokio::test]
async fn a_server_that_forgets_is_refused_with_what_mends_it() {
    let server = RedisServer::start(VOLATILE);
    let error = refused(&server.url("")).await.to_string();
    assert!(error.contains("CONFIG SET appendonly yes"), "{error}");
    assert!(error.contains("allow_volatile=true"), "{error}");
    open(&server.url("allow_volatile=true")).await;
    server.command(&["CONFIG", "SET", "appendonly", "yes"]);
    open(&server.url("")).await;
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_with_what_mends_it() {
    let server = RedisServer::start(&[EVERY_SECOND, &["--maxmemory-policy", "allkeys-lru"]].concat());
    let error = refused(&server.url("")).await.to_string();
    assert!(error.contains("CONFIG SET maxmemory-policy noeviction"), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    open(&server.url("")).await;
}

#[tokio::test]
async fn a_user_with_a_password_and_few_rights_will_do() {
    let server = RedisServer::start(EVERY_SECOND);
    let user = "ACL SETUSER worker on >secret ~nq:* +@all -@dangerous -@admin +info";
    server.command(&user.split(' ').collect::<Vec<_>>());
    let url = format!("redis://worker:secret@127.0.0.1:{}", server.port());
    let store = open(&url).await;
    store.start(&start("r", json!(1))).await.unwrap();
    assert_eq!(Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases.len(), 1);
    let error = refused(&url.replace("secret", "wrong")).await.to_string();
    assert!(!error.contains("wrong"), "a password is not to be shown: {error}");
}

#[tokio::test]
async fn databases_and_namespaces_are_apart() {
    let server = RedisServer::start(EVERY_SECOND);
    let first = open(&server.url("")).await;
    let other = open(&format!("redis://127.0.0.1:{}/3", server.port())).await;
    let third = open(&server.url("namespace=shop")).await;
    first.start(&start("r", json!(1))).await.unwrap();
    for store in [&other, &third] {
        assert_eq!(store.run(&super::flow::run_id("r")).await.unwrap(), None);
        store.start(&start("r", json!(2))).await.unwrap();
    }
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed_by_the_first() {
    let server = RedisServer::start(EVERY_SECOND);
    open(&server.url("partitions=4")).await;
    let error = refused(&server.url("partitions=8")).await.to_string();
    assert!(error.contains("has 4 partitions, not 8"), "{error}");
    open(&server.url("")).await.start(&start("r", json!(1))).await.unwrap();
    assert_eq!(server.command(&["EXISTS", "nq:run:r"]), "0");
}

#[tokio::test]
async fn an_unplugged_port_is_unavailable_not_refused() {
    let url = format!("redis://127.0.0.1:{}", super::server::free_port());
    assert_eq!(RedisStore::open(&url).await.map(|_| ()).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn durability_that_the_server_cannot_give_is_refused() {
    let server = RedisServer::start(EVERY_SECOND);
    if server.command(&["INFO", "server"]).contains("redis_version:7.0") {
        let error = refused(&server.url("durability=fsync")).await.to_string();
        assert!(error.contains("appendfsync always"), "{error}");
    }
    let server = RedisServer::start(ALWAYS);
    open(&server.url("durability=fsync")).await.start(&start("r", json!(1))).await.unwrap();
}

#[tokio::test]
async fn a_start_that_no_replica_confirms_is_unknown_until_one_does() {
    let server = RedisServer::start(&[EVERY_SECOND, &["--repl-diskless-sync-delay", "0"]].concat());
    let store = open(&server.url("durability=replicated")).await;
    let error = store.start(&start("r", json!(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("replica"), "{error}");
    let port = server.port().to_string();
    let _replica = RedisServer::start(&[EVERY_SECOND, &["--replicaof", "127.0.0.1", &port]].concat());
    for _ in 0..20 {
        if let Ok(started) = store.start(&start("r", json!(1))).await {
            assert_eq!(started, nq_core::store::Started::Existing);
            return;
        }
    }
    panic!("the replica confirms nothing");
}

#[tokio::test]
async fn the_timeline_is_readable_json() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    store.start(&start("r", json!({ "order": 7 }))).await.unwrap();
    let entries = server.command(&["XRANGE", "nq:flow:r", "-", "+"]);
    assert!(
        entries.contains(r#"{"event":"begin","input":{"order":7},"registryHash":"0","trigger":"manual"}"#),
        "{entries}"
    );
}

#[tokio::test]
async fn a_url_that_does_not_say_what_stands_there_is_refused_with_what_to_write() {
    let node = RedisServer::start(&[EVERY_SECOND, &["--cluster-enabled", "yes"]].concat());
    let error = refused(&node.url("")).await.to_string();
    assert!(error.contains("redis+cluster://"), "{error}");
    let sentinel = RedisServer::sentinel();
    let error = refused(&sentinel.url("")).await.to_string();
    assert!(error.contains("redis+sentinel://"), "{error}");
    let server = RedisServer::start(EVERY_SECOND);
    let as_scheme = |scheme: &str, rest: &str| format!("{scheme}://127.0.0.1:{}{rest}", server.port());
    let error = refused(&as_scheme("redis+cluster", "")).await.to_string();
    assert!(error.contains("`redis://` without `+cluster`"), "{error}");
    let error = refused(&as_scheme("redis+sentinel", "/main")).await.to_string();
    assert!(error.contains("`redis://` without `+sentinel`"), "{error}");
    let error = refused(&as_scheme("redis", "/99")).await.to_string();
    assert!(error.contains("no database of the number"), "{error}");
    let error = refused(&as_scheme("redis", "/1/2")).await.to_string();
    assert!(error.contains("`/2`"), "{error}");
}
