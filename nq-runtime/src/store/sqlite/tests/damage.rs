//! Files that are not what nq wrote: what is damaged is found, and never taken for what happened.

use nq_core::status::RunStatus;

use super::*;

/// A closed store with two finished runs.
async fn written(folder: &Path) {
    let store = open(folder).await;
    let mut peer = Peer::new("i");
    for run in ["r", "s"] {
        store.start(&begin(run)).await.unwrap();
        let lease = peer.lease(&store, "a", 1).await.remove(0);
        peer.write(&store, complete(emit(&lease, "b"))).await;
        let lease = peer.lease(&store, "b", 1).await.remove(0);
        store.append(&run_id(run), &lines(&lease.step, 20, "something to say")).await.unwrap();
        peer.write(&store, done(&lease)).await;
    }
}

async fn damaged(sql: &str, read: impl Fn(Read) -> Read) -> StoreError {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path()).await;
    shell(folder.path()).execute_batch(sql).unwrap();
    let store = open(folder.path()).await;
    assert_eq!(timeline(&store, "s").await.unwrap().len(), 27, "another run is none the worse");
    store.read(&read(Read::after(run_id("r"), 0))).await.unwrap_err()
}

#[tokio::test]
async fn a_damaged_timeline_is_named_with_the_place() {
    let all = |read: Read| read;
    let backwards = |read: Read| Read { reverse: true, ..read };
    let cases = [
        ("UPDATE entries SET data = '{' WHERE run = 1 AND n = 2", "entry 2 of its timeline is damaged"),
        ("UPDATE entries SET data = '{}' WHERE run = 1 AND n = 2", "entry 2 of its timeline is damaged"),
        (
            "UPDATE entries SET type = 'log.warn' WHERE run = 1 AND n = 9",
            "entry 9 of its timeline is damaged",
        ),
        ("UPDATE entries SET ms = ms + 1 WHERE run = 1 AND n = 4", "entry 4 of its timeline is damaged"),
        ("UPDATE entries SET attempt = 'x' WHERE run = 1 AND n = 4", "entry 4 of its timeline is damaged"),
        ("DELETE FROM entries WHERE run = 1 AND n = 1", "entry 1 of its timeline is missing"),
        ("DELETE FROM entries WHERE run = 1 AND n = 5", "entry 5 of its timeline is missing"),
        ("DELETE FROM entries WHERE run = 1 AND n = 27", "entry 27 of its timeline is missing"),
        ("UPDATE runs SET last_n = 20 WHERE key = 1", "its timeline has entry 21"),
        ("UPDATE runs SET status = 9 WHERE key = 1", "its status is 9"),
    ];
    for (sql, says) in cases {
        let mut ways: Vec<&dyn Fn(Read) -> Read> = vec![&all];
        if !sql.contains("last_n") {
            ways.push(&backwards);
        }
        for way in ways {
            let error = damaged(sql, way).await;
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{sql}");
            assert_eq!((error.op(), error.key()), ("read", Some("r")), "{sql}");
            assert!(error.to_string().contains(says), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn no_flipped_bit_changes_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path()).await;
    let path = options(folder.path()).path;
    let whole = std::fs::read(&path).unwrap();
    let store = open(folder.path()).await;
    let before = [timeline(&store, "r").await.unwrap(), timeline(&store, "s").await.unwrap()];
    drop(store);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut found, mut harmless) = (0, 0);
    for _ in 0..150 {
        let mut flipped = whole.clone();
        let at = random.usize(..flipped.len());
        flipped[at] ^= 1 << random.u32(..8);
        std::fs::write(&path, &flipped).unwrap();
        let Ok(store) = SqliteStore::open(options(folder.path())).await else {
            found += 1;
            continue;
        };
        for (run, before) in ["r", "s"].into_iter().zip(&before) {
            match timeline(&store, run).await {
                Ok(entries) => {
                    assert_eq!(&entries, before, "byte {at}");
                    harmless += 1;
                }
                Err(_) => found += 1,
            }
        }
    }
    assert!(found > 0 && harmless > 0, "{found} found, {harmless} harmless");
}

#[tokio::test]
async fn a_job_that_does_not_even_say_which_step_it_is_fails_its_run() {
    for sql in [
        "UPDATE jobs SET n = 'x' WHERE run = 1",
        "UPDATE jobs SET ms = -1 WHERE run = 1",
        "UPDATE jobs SET worker = 'a b' WHERE run = 1",
        "UPDATE jobs SET worker = x'00ff' WHERE run = 1",
    ] {
        for held in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path()).await;
            store.start(&begin("r")).await.unwrap();
            if held {
                assert_eq!(Peer::new("dead").lease(&store, "a", 1).await.len(), 1);
            }
            store.start(&begin("s")).await.unwrap();
            drop(store);
            shell(folder.path()).execute_batch(sql).unwrap();
            let store = open(folder.path()).await;
            let mut peer = Peer::new("i");
            let leases = peer.lease(&store, "a", 9).await;
            let runs: Vec<_> = leases.iter().map(|lease| lease.run.as_str()).collect();
            assert_eq!(runs, ["s"], "{sql}");
            let failed = store.run(&run_id("r")).await.unwrap().unwrap();
            assert_eq!((failed.status, failed.pending), (RunStatus::Failed, 0), "{sql}, held: {held}");
            let all = timeline(&store, "r").await.unwrap();
            let error = all.last().unwrap().data["error"].as_str().unwrap().to_owned();
            assert!(error.starts_with("a step of run `r` cannot be read from the store: "), "{error}");
            // It is told once, and others go on.
            assert!(peer.lease(&store, "a", 9).await.is_empty());
            assert_eq!(timeline(&store, "r").await.unwrap(), all);
            peer.write(&store, done(&leases[0])).await;
            assert_eq!(store.run(&run_id("s")).await.unwrap().unwrap().status, RunStatus::Completed);
        }
    }
}
