//! What a store keeps over a restart, and what it lets go.

use super::*;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut peer = Peer::new("i");
    for run in ["r1", "r2", "r3"] {
        store.start(&begin(run)).await.unwrap();
    }
    let leases = peer.lease(&store, "a", 1).await;
    peer.write(&store, complete(emit(&leases[0], "b"))).await;
    store.pause(&queue("b"), true).await.unwrap();
    let turn = Turn {
        instance: peer.id.clone(),
        number: 3,
        starts: Vec::new(),
        writes: Vec::new(),
        renewals: Vec::new(),
        wants: vec![Want { queue: queue("a"), max: 1 }],
        lease_ms: LEASE_MS,
    };
    let reply = store.turn(&turn).await.unwrap();
    let before = (store.queues().await.unwrap(), timeline(&store, "r1").await.unwrap());
    assert_eq!(
        before.0.iter().map(|q| (q.queued, q.leased, q.paused)).collect::<Vec<_>>(),
        [(1, 1, false), (1, 0, true)]
    );
    let wal = folder.path().join("nq.db-wal");
    assert!(wal.exists());
    drop(store);
    assert!(!wal.exists(), "closing brings the write-ahead log into the file");

    let store = open(folder.path()).await;
    assert_eq!(timeline(&store, "r1").await.unwrap(), before.1);
    // The job that was held is back: its process is gone.
    assert_eq!(
        store.queues().await.unwrap().iter().map(|q| (q.queued, q.leased, q.paused)).collect::<Vec<_>>(),
        [(2, 0, false), (1, 0, true)]
    );
    // The lane is there: the same turn again is not taken again, and its lease is lost.
    let again = store.turn(&turn).await.unwrap();
    assert_eq!((again.answers, again.leases), (reply.answers, Vec::new()));
    let order: Vec<_> =
        Peer::new("j").lease(&store, "a", 9).await.into_iter().map(|lease| lease.run).collect();
    assert_eq!(order, [run_id("r3"), run_id("r2")], "what went back is behind what waited");
}

#[tokio::test]
async fn a_job_that_comes_and_goes_within_a_turn_leaves_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut peer = Peer::new("i");
    store.start(&begin("r")).await.unwrap();
    let lease = peer.lease(&store, "a", 1).await.remove(0);
    let reply = peer.turn(&store, vec![complete(emit(&lease, "b"))], &[("b", 1)]).await;
    assert_eq!(reply.leases[0].inputs[0].payload, json!({ "from": lease.step }));
    let rows = |sql: &'static str| {
        store.look("test", None, move |db| {
            Ok(db.first(sql, [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or_default())
        })
    };
    assert_eq!(rows("SELECT count(*) FROM jobs WHERE state = 1").await.unwrap(), 1);
    peer.write(&store, done(&reply.leases[0])).await;
    assert_eq!(rows("SELECT count(*) FROM jobs").await.unwrap(), 0);
    assert_eq!(rows("SELECT sum(queued + leased + delayed + dead) FROM queues").await.unwrap(), 0);
}

#[tokio::test]
async fn a_long_queue_is_given_out_in_order_whatever_comes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let name = |n: usize| format!("r{n:03}");
    for n in 0..150 {
        store.start(&begin(&name(n))).await.unwrap();
    }
    drop(store);
    let store = open(folder.path()).await;
    let mut peer = Peer::new("i");
    let (mut order, mut next) = (Vec::new(), 150);
    while order.len() < 200 {
        if next < 200 {
            store.start(&begin(&name(next))).await.unwrap();
            next += 1;
            // A tick has it written before its batch ends.
            tick(&store).await;
        }
        let leases = peer.lease(&store, "a", 7).await;
        order.extend(leases.into_iter().map(|lease| lease.run.to_string()));
    }
    assert_eq!(order, (0..200).map(name).collect::<Vec<_>>());
    assert_eq!(counts(&store, "a").await.leased, 200);
}

#[tokio::test]
async fn a_long_run_goes_page_by_page_and_from_sight_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let store = open_at(folder.path(), &clock).await;
    let mut peer = Peer::new("i");
    store.start(&begin("long")).await.unwrap();
    store.start(&begin("kept")).await.unwrap();
    let leases = peer.lease(&store, "a", 1).await;
    for _ in 0..3 {
        store.append(&run_id("long"), &lines(&leases[0].step, 5_000, "on and on")).await.unwrap();
    }
    peer.write(&store, complete(emit(&leases[0], "b"))).await;
    store.act(&run_id("long"), &Act::Cancel { reason: "enough".into() }).await.unwrap();
    clock.advance(1_000);
    let retention = Retention { completed_ms: None, failed_ms: Some(1_000) };
    let first = tick_keeping(&store, retention).await;
    assert_eq!((first.removed, first.more), (1, true));
    assert_eq!(timeline(&store, "long").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(counts(&store, "b").await.queued, 0);
    // The id is free again at once.
    assert!(matches!(store.start(&begin("long")).await.unwrap(), Started::New(_)));
    let second = tick_keeping(&store, retention).await;
    assert_eq!((second.removed, second.more), (0, false));
    let left = store.look("test", None, |db| {
        let all = "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM removed)";
        db.first(all, [], |row| Ok(row.get::<_, i64>(0)?))
    });
    assert_eq!(left.await.unwrap(), Some(2), "the first entries of two runs");
}

#[tokio::test]
async fn an_instance_that_is_gone_is_forgotten_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let store = open_at(folder.path(), &clock).await;
    let other = open_at(folder.path(), &clock).await;
    Peer::new("gone").lease(&other, "a", 1).await;
    Peer::new("here").lease(&store, "a", 1).await;
    let instances = || {
        store.look("test", None, |db| {
            db.all("SELECT id FROM instances ORDER BY id", [], |row| Ok(row.get::<_, String>(0)?))
        })
    };
    clock.advance(60 * 60 * 1_000 + 1);
    tick(&store).await;
    assert_eq!(instances().await.unwrap(), ["gone", "here"], "both live, however long they are silent");
    drop(other);
    tick(&store).await;
    assert_eq!(instances().await.unwrap(), ["here"]);
}

#[tokio::test]
async fn the_last_snapshot_of_a_long_timeline_is_found_through_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut peer = Peer::new("i");
    store.start(&begin("r")).await.unwrap();
    let lease = peer.lease(&store, "a", 1).await.remove(0);
    let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    tx.entries.push(NewEntry::new(EntryType::StateSnapshot, json!({ "asOf": "1-1", "state": { "k": 1 } })));
    assert!(matches!(peer.write(&store, tx).await, Answer::Committed { .. }));
    store.append(&run_id("r"), &lines(&lease.step, 5_000, "on and on")).await.unwrap();
    let types = vec![EntryType::StateSnapshot];
    let read = Read { types, reverse: true, limit: 1, ..Read::after(run_id("r"), 0) };
    let found = store.read(&read).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.id.n).collect::<Vec<_>>(), [3]);
}
