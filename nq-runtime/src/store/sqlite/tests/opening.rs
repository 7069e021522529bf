//! Which files are opened, and what is said of those that are not.

use std::fs;

use super::*;

async fn refused(path: PathBuf) -> StoreError {
    SqliteStore::open(SqliteOptions { path }).await.unwrap_err()
}

#[track_caller]
fn says(error: &StoreError, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "`{error}` does not say `{text}`");
    assert!(error.to_string().starts_with("open `"), "`{error}` does not name what was opened");
}

/// The bytes of a file that must be left alone, and what else is in its folder.
fn untouched(path: &Path) -> (Vec<u8>, usize) {
    (fs::read(path).unwrap(), fs::read_dir(path.parent().unwrap()).unwrap().count())
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    says(&refused(PathBuf::new()).await, ErrorKind::Config, "no path is given");
    says(&refused(folder.path().into()).await, ErrorKind::Config, "this is a directory");
    let error = refused(folder.path().join("missing/nq.db")).await;
    says(&error, ErrorKind::Config, "there is no directory `");
    assert!(!folder.path().join("missing").exists());
    #[cfg(unix)]
    says(&refused(PathBuf::from("/dev/null")).await, ErrorKind::Config, "not a regular file");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for content in ["# Notes\n", &"x".repeat(9_000)] {
        let path = folder.path().join("notes.md");
        fs::write(&path, content).unwrap();
        let before = untouched(&path);
        says(&refused(path.clone()).await, ErrorKind::Version, "not an SQLite database");
        assert_eq!(untouched(&path), before);
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    for mode in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = options(folder.path()).path;
        let theirs = shell(folder.path());
        theirs.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        theirs.execute_batch("CREATE TABLE todo (what TEXT); INSERT INTO todo VALUES ('rest')").unwrap();
        drop(theirs);
        let before = untouched(&path);
        says(&refused(path.clone()).await, ErrorKind::Version, "not nq's");
        assert_eq!(untouched(&path), before, "{mode}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_nq_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    let newer = "PRAGMA user_version = 7; UPDATE meta SET value = '9.8.7' WHERE key = 'nq'";
    shell(folder.path()).execute_batch(newer).unwrap();
    let error = refused(options(folder.path()).path).await;
    says(&error, ErrorKind::Version, "nq 9.8.7, format 7");
    says(&error, ErrorKind::Version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_file_that_is_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    let path = options(folder.path()).path;
    let whole = fs::read(&path).unwrap();
    for length in [4_096, whole.len() - 4_096] {
        fs::write(&path, &whole[..length]).unwrap();
        says(&refused(path.clone()).await, ErrorKind::Corrupt, "cut short");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_beside_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = options(folder.path()).path;
    fs::write(folder.path().join("nq.db-locks"), "").unwrap();
    says(&refused(path.clone()).await, ErrorKind::Config, "directory of locks");
    fs::remove_file(folder.path().join("nq.db-locks")).unwrap();
    drop(open(folder.path()).await);
    fs::create_dir(folder.path().join("nq.db-wal")).unwrap();
    says(&refused(path).await, ErrorKind::Config, "cannot be opened");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_read_only_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = options(folder.path()).path;
    drop(open(folder.path()).await);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    // The rights of a file do not bind the superuser.
    if fs::OpenOptions::new().append(true).open(&path).is_err() {
        says(&refused(path.clone()).await, ErrorKind::Config, "read-only");
    }
    let error = open::system(&path, "the file cannot be made", std::io::ErrorKind::ReadOnlyFilesystem.into());
    says(&error, ErrorKind::Config, "read-only");

    let conn = open::read_only(&path).unwrap();
    conn.pragma_update(None, "query_only", false).unwrap();
    let failure = Failure::from(conn.execute("DELETE FROM meta", []).unwrap_err());
    says(&failure.report("open", None).with_key(path.display()), ErrorKind::Config, "read-only");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.start(&begin("r")).await.unwrap();
    let step = StepId::new(Name::new("a").unwrap(), nq_core::id::EntryId { ms: 1, n: 1 });
    store.append(&run_id("r"), &lines(&step, 100, &"x".repeat(2_000))).await.unwrap();
    let mut modes = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        modes.push((file.file_name().into_string().unwrap(), mode));
    }
    modes.sort();
    let expected = [
        ("nq.db", 0o600),
        ("nq.db-locks", 0o700),
        ("nq.db-reserve", 0o600),
        ("nq.db-shm", 0o600),
        ("nq.db-wal", 0o600),
    ];
    assert_eq!(modes, expected.map(|(name, mode)| (name.to_owned(), mode)));
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(options(folder.path()).path, "").unwrap();
    let store = open(folder.path()).await;
    store.start(&begin("r")).await.unwrap();
    drop(store);
    assert_eq!(timeline(&open(folder.path()).await, "r").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_creation_that_a_crash_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    // What a crash leaves: pages in the file that the journal says were not there.
    let theirs = shell(folder.path());
    theirs.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN").unwrap();
    theirs.execute_batch(&schema::tables()).unwrap();
    let rows = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000) \
                INSERT INTO flows SELECT n, 'flow' || n FROM n";
    theirs.execute_batch(rows).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["nq.db", "nq.db-journal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    assert!(fs::metadata(options(crashed.path()).path).unwrap().len() > 4_096, "nothing was cut off");
    let store = open(crashed.path()).await;
    assert!(store.runs(&RunsQuery { limit: 1, ..RunsQuery::default() }).await.unwrap().runs.is_empty());
}

#[tokio::test]
async fn an_old_sqlite_has_the_file_alone() {
    let sharing = |sqlite| {
        assert_eq!(open::may_share(sqlite), sqlite >= 3_051_003);
        sqlite
    };
    let (old, new) = (sharing(3_051_002), sharing(3_051_003));
    sharing(3_046_000);
    sharing(3_052_000);
    let with = |folder: &Path, sqlite| {
        let options = options(folder);
        SqliteStore::open_with(Setup {
            options,
            sqlite,
            log_bytes: LOG_BYTES,
            clock: Arc::new(clock::now_ms),
        })
    };
    for (first, second) in [(old, old), (old, new), (new, old)] {
        let folder = tempfile::tempdir().unwrap();
        let held = with(folder.path(), first).await.unwrap();
        let error = with(folder.path(), second).await.unwrap_err();
        says(&error, ErrorKind::Config, "another process has the database open");
        says(&error, ErrorKind::Config, &format!("this one uses 3.51.{}", second % 1_000));
        drop(held);
        with(folder.path(), second).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let _shared = [with(folder.path(), new).await.unwrap(), with(folder.path(), new).await.unwrap()];
}
