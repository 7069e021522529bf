//! The write-ahead log: how long it gets, and what there is room for.

use std::fs;
use std::sync::atomic::AtomicBool;

use super::*;

/// The length of a log that is long: short enough to be reached often.
const LONG: u64 = 1024 * 1024;

/// A store that brings its log into the database when it is long.
async fn open_short(folder: &Path, sqlite: i32) -> SqliteStore {
    let clock = Arc::new(clock::now_ms);
    let setup = Setup { options: options(folder), sqlite, log_bytes: LONG, clock };
    SqliteStore::open_with(setup).await.unwrap()
}

async fn open(folder: &Path) -> SqliteStore {
    open_short(folder, rusqlite::version_number()).await
}

/// The length of a file beside the database.
fn beside(folder: &Path, suffix: &str) -> u64 {
    fs::metadata(super::open::beside(&options(folder).path, suffix)).map_or(0, |file| file.len())
}

/// Writes for as long as the log would be several times too long if it were not begun anew. Returns how long it
/// was at most, and how many bytes went into it at least.
async fn write_much(stores: &[SqliteStore], folder: &Path, name: &str) -> (u64, u64) {
    const AT_ONCE: usize = 8;
    let step = StepId::new(Name::new("a").unwrap(), nq_core::id::EntryId { ms: 1, n: 1 });
    let block = lines(&step, 10, &"x".repeat(2_000));
    let (mut longest, mut written) = (0, 0);
    let runs: Vec<_> = (0..AT_ONCE).map(|n| run_id(&format!("{name}-{n}"))).collect();
    for run in &runs {
        stores[0].start(&begin(run.as_str())).await.unwrap();
    }
    while written < 10 * LONG {
        for store in stores {
            let appends = runs.iter().map(|run| store.append(run, &block));
            futures_util::future::try_join_all(appends).await.unwrap();
            written += AT_ONCE as u64 * 10 * 2_000;
            longest = longest.max(beside(folder, "-wal"));
        }
    }
    (longest, written)
}

#[tokio::test(flavor = "multi_thread")]
async fn constant_readers_do_not_let_the_log_grow() {
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<_> = [open(folder.path()).await, open(folder.path()).await].into();
    stores[0].start(&begin("read")).await.unwrap();
    let over = AtomicBool::new(false);
    let reads = (0..12).map(async |n: usize| {
        while !over.load(Ordering::SeqCst) {
            stores[n % 2].runs(&RunsQuery { limit: 100, ..RunsQuery::default() }).await.unwrap();
            stores[n % 2].read(&Read::after(run_id("read"), 0)).await.unwrap();
        }
    });
    let write = async {
        let longest = write_much(&stores[..1], folder.path(), "w").await;
        over.store(true, Ordering::SeqCst);
        longest
    };
    let ((longest, written), _) = tokio::join!(write, futures_util::future::join_all(reads));
    assert!(longest <= 2 * LONG, "{longest} bytes of {written}");
    assert!(longest >= LONG, "the log was cut too early: {longest} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_write_all_the_time_do_not_let_the_log_grow() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    let (one, two) = tokio::join!(
        write_much(&stores[..1], folder.path(), "one"),
        write_much(&stores[1..], folder.path(), "two")
    );
    assert!(one.0.max(two.0) <= 2 * LONG, "{one:?} {two:?}");
}

#[tokio::test]
async fn the_length_of_the_log_is_measured_and_not_estimated() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut longest = 0;
    // Each writes a few hundred bytes, and changes many times as much.
    for n in 0..300 {
        store.start(&begin(&format!("{:016x}", fastrand::u64(..)))).await.unwrap();
        longest = longest.max(beside(folder.path(), "-wal"));
        assert!(longest <= 2 * LONG, "after {n}");
    }
    assert!(longest >= LONG, "{longest} bytes: nothing was shown");
}

#[tokio::test]
async fn an_old_sqlite_cuts_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_short(folder.path(), 3_046_000).await;
    let (longest, _) = write_much(&[store], folder.path(), "old").await;
    assert!(longest <= 2 * LONG, "{longest}");
}

#[tokio::test]
async fn a_reader_that_stays_holds_up_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let shell = shell(folder.path());
    store.start(&begin("r")).await.unwrap();
    shell.execute_batch("BEGIN; SELECT * FROM runs").unwrap();
    let stores = [store];
    let (longest, written) = write_much(&stores, folder.path(), "w").await;
    assert!(longest >= written, "it could not be begun anew");
    shell.execute_batch("ROLLBACK").unwrap();
    let step = StepId::new(Name::new("a").unwrap(), nq_core::id::EntryId { ms: 1, n: 1 });
    let block = lines(&step, 10, &"x".repeat(100_000));
    while beside(folder.path(), "-wal") > 2 * LONG {
        stores[0].append(&run_id("r"), &block).await.unwrap();
    }
}

#[tokio::test]
async fn the_room_for_a_checkpoint_is_kept_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let path = options(folder.path()).path;
    let step = StepId::new(Name::new("a").unwrap(), nq_core::id::EntryId { ms: 1, n: 1 });
    store.start(&begin("r")).await.unwrap();
    let mut grew = 0;
    for _ in 0..8 {
        store.append(&run_id("r"), &lines(&step, 100, &"x".repeat(5_000))).await.unwrap();
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let size: i64 = shell(folder.path()).query_row(sql, [], |row| row.get(0)).unwrap();
        let growth = size as u64 - fs::metadata(&path).unwrap().len();
        let kept = beside(folder.path(), "-reserve");
        assert!(kept > growth, "{kept} bytes for a growth of {growth}");
        grew += usize::from(growth > 0);
    }
    assert!(grew > 0, "nothing was shown");
    let large = &lines(&step, 100, &"x".repeat(50_000));
    store.append(&run_id("r"), large).await.unwrap();
    // After one that is larger than others are, the log is cut and the room given back.
    for _ in 0..3 {
        store.append(&run_id("r"), &lines(&step, 1, "x")).await.unwrap();
    }
    let (log, kept) = (beside(folder.path(), "-wal"), beside(folder.path(), "-reserve"));
    assert!(log <= 2 * LONG && kept <= 2 * LONG, "{log} and {kept} bytes");
    drop(store);
    assert!(!super::open::beside(&path, "-wal").exists() && !super::open::beside(&path, "-reserve").exists());
}
