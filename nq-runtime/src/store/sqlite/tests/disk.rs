//! Disks that are full or fail, and calls that fail beside others.

use rusqlite::ffi;

use super::*;

/// How many pages the file may have from now on; none for as many as there is room for.
async fn limit_pages(store: &SqliteStore, spare: Option<i64>) {
    let limited = store.write("test", None, move |book, _, _| {
        let count =
            book.db.first("PRAGMA page_count", [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or_default();
        let limit = spare.map_or(i64::from(i32::MAX), |spare| count + spare);
        book.db.first(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))
    });
    limited.await.unwrap();
}

fn sqlite_error(code: i32) -> Failure {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
}

#[tokio::test]
async fn a_full_disk_is_an_answer_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.start(&begin("r")).await.unwrap();
    let lease = Peer::new("i").lease(&store, "a", 1).await.remove(0);
    limit_pages(&store, Some(20)).await;
    let block = lines(&lease.step, 10, &"x".repeat(1_000));
    let (error, before) = loop {
        let before = timeline(&store, "r").await.unwrap();
        if let Err(error) = store.append(&run_id("r"), &block).await {
            break (error, before);
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert_eq!((error.op(), error.key()), ("append", Some("r")));
    assert!(error.to_string().contains("disk is full"), "{error}");
    let path = folder.path().canonicalize().unwrap().join("nq.db");
    assert!(error.to_string().ends_with(&format!(" (`{}`)", path.display())), "{error}");
    assert_eq!(timeline(&store, "r").await.unwrap(), before, "nothing half-written");
    limit_pages(&store, None).await;
    store.append(&run_id("r"), &block).await.unwrap();
    assert_eq!(timeline(&store, "r").await.unwrap().len(), before.len() + 10);
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_store_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.start(&begin("r")).await.unwrap();
    let interest = Interest::Run { run: run_id("r"), after: 1 };
    let waiting = store.wait(&interest, Duration::from_secs(500));
    let failing = store
        .write("test", None, |_, _, _| -> Result<(), Failure> { Err(sqlite_error(ffi::SQLITE_IOERR_FSYNC)) });
    let (waited, failed) = tokio::join!(waiting, failing);
    let later = [
        failed.unwrap_err(),
        waited.unwrap_err(),
        store.start(&begin("s")).await.unwrap_err(),
        timeline(&store, "r").await.unwrap_err(),
        store.wait(&interest, Duration::ZERO).await.unwrap_err(),
    ];
    assert_eq!(ffi::SQLITE_IOERR_FSYNC, 1034);
    for error in &later {
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("the disk failed"), "{error}");
        assert!(format!("{:?}", std::error::Error::source(error)).contains("1034"), "{error:?}");
    }
    assert_eq!(later.map(|error| error.op()), ["test", "wait", "start", "read", "wait"]);
    drop(store);
    assert_eq!(
        timeline(&open(folder.path()).await, "r").await.unwrap().len(),
        1,
        "what was acknowledged is there"
    );
}

#[tokio::test]
async fn an_act_that_panics_closes_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let interest = Interest::Queues(vec![queue("a")]);
    let waiting = store.wait(&interest, Duration::from_secs(500));
    let panicking = store.write("test", None, |_, _, _| -> Result<(), Failure> { panic!("half way") });
    let (waited, panicked) = tokio::join!(waiting, panicking);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.start(&begin("r")).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_call_that_cannot_be_done_spoils_none_that_share_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    // While another process has its turn, calls pile up and go into one transaction.
    let other = match Locks::open(&folder.path().join("nq.db-locks"), "other", false).unwrap() {
        locks::Admission::Admitted(locks) => locks,
        locks::Admission::Refused => panic!("nobody wants to be alone"),
    };
    let turn = other.enter().unwrap();
    let bad = store.write("test", Some("bad".into()), |book, _, now_ms| {
        ledger::start(book, &begin("half"), now_ms)?.unwrap();
        Err::<(), _>(Failure::corrupt("half", "it cannot go on"))
    });
    let (first, second) = (begin("first"), begin("second"));
    let (one, bad, two, ()) =
        tokio::join!(store.start(&first), bad, store.start(&second), async { drop(turn) });
    assert!(matches!((one.unwrap(), two.unwrap()), (Started::New(_), Started::New(_))));
    let bad = bad.unwrap_err();
    assert_eq!((bad.kind(), bad.op(), bad.key()), (ErrorKind::Corrupt, "test", Some("bad")));
    assert_eq!(store.run(&run_id("half")).await.unwrap(), None);
    assert_eq!(counts(&store, "a").await.queued, 2);
}

#[test]
fn each_failure_of_sqlite_says_what_can_be_done() {
    let cases = [
        (ffi::SQLITE_FULL, ErrorKind::Unavailable, "the disk is full"),
        (ffi::SQLITE_IOERR_SHMSIZE, ErrorKind::Unavailable, "the disk is full"),
        (ffi::SQLITE_BUSY, ErrorKind::Unavailable, "another program"),
        (ffi::SQLITE_BUSY, ErrorKind::Unavailable, "frozen in the middle of a transaction"),
        (ffi::SQLITE_NOMEM, ErrorKind::Unavailable, "memory"),
        (ffi::SQLITE_IOERR_NOMEM, ErrorKind::Unavailable, "too little memory"),
        (ffi::SQLITE_IOERR_SHMMAP, ErrorKind::Unavailable, "too little memory"),
        (ffi::SQLITE_IOERR_LOCK, ErrorKind::Unavailable, "too few locks"),
        (ffi::SQLITE_IOERR_WRITE, ErrorKind::Closed, "the disk failed"),
        (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Closed, "the disk failed"),
        (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, "backup"),
        (ffi::SQLITE_NOTADB, ErrorKind::Version, "not an SQLite database"),
        (ffi::SQLITE_READONLY, ErrorKind::Config, "read-only"),
        (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable, "too many files"),
        (ffi::SQLITE_TOOBIG, ErrorKind::TooLarge, "larger"),
        (ffi::SQLITE_CONSTRAINT, ErrorKind::Corrupt, "does not hold what nq wrote"),
    ];
    for (code, kind, text) in cases {
        let error = sqlite_error(code).report("turn", Some("r".into()));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().starts_with("turn `r`: "), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(!error.to_string().contains(&source), "`{error}` repeats `{source}`");
    }
}
