//! Files that are removed, renamed or replaced under an open store, and files that it cannot open for a moment.

use std::fs;

use super::*;

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    open::beside(&fs::canonicalize(folder).unwrap().join("nq.db"), suffix)
}

/// The lock of the one store in this folder.
fn lock(folder: &Path) -> PathBuf {
    let mut locks = fs::read_dir(beside(folder, "-locks")).unwrap().map(|file| file.unwrap().path());
    locks.find(|path| path.to_str().unwrap().contains("store-")).unwrap()
}

#[track_caller]
fn ended(error: &StoreError, path: &Path, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains(&format!("`{}` {what}", path.display())), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_gone_ends_the_store() {
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let rename = |path: &Path| fs::rename(path, path.with_extension("old")).unwrap();
    let replace = |path: &Path| {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(copy, path).unwrap();
    };
    let (gone, other) = ("was removed or renamed", "was replaced by another file");
    let ways: [&dyn Fn(&Path); 3] = [&remove, &rename, &replace];
    for (way, what) in ways.into_iter().zip([gone, gone, other]) {
        for suffix in ["", "-wal", "-shm", "-locks"] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path()).await;
            store.start(&begin("kept")).await.unwrap();
            let path = if suffix == "-locks" { lock(folder.path()) } else { beside(folder.path(), suffix) };
            way(&path);
            ended(&store.start(&begin("lost")).await.unwrap_err(), &path, what);
            for later in [
                store.start(&begin("later")).await.unwrap_err(),
                store.run(&run_id("kept")).await.unwrap_err(),
                store.wait(&Interest::Queues(vec![queue("a")]), Duration::ZERO).await.unwrap_err(),
            ] {
                ended(&later, &path, what);
            }
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_is_renamed_ends_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let store = open(&inner).await;
    fs::rename(&inner, folder.path().join("renamed")).unwrap();
    let error = store.start(&begin("lost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("was removed or renamed"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_committed_to_a_file_that_is_gone_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let path = beside(folder.path(), "");
    let removed = path.clone();
    let written = store.write("test", None, move |book, _, now_ms| {
        ledger::start(book, &begin("lost"), now_ms)?.unwrap();
        fs::remove_file(&removed).unwrap();
        Ok(())
    });
    ended(&written.await.unwrap_err(), &path, "was removed or renamed");
}

#[cfg(unix)]
#[tokio::test]
async fn one_who_only_reads_or_waits_learns_that_the_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, interest) = (beside(folder.path(), ""), Interest::Queues(vec![queue("a")]));
    let store = open(folder.path()).await;
    let (waited, ()) = tokio::join!(store.wait(&interest, Duration::from_secs(500)), async {
        fs::remove_file(&path).unwrap();
    });
    ended(&waited.unwrap_err(), &path, "was removed or renamed");
    drop(store);

    let store = open(folder.path()).await;
    fs::remove_file(&path).unwrap();
    ended(&store.runs(&RunsQuery::default()).await.unwrap_err(), &path, "was removed or renamed");
}

/// Started by [`a_lack_of_file_descriptors_passes`] in a process that may open few files. Does nothing else.
#[test]
fn with_few_files() {
    let Some(folder) = std::env::var_os("NQ_TEST_FEW_FILES") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = PathBuf::from(folder);
        let store = open(&folder).await;
        store.start(&begin("r")).await.unwrap();
        let mut files = Vec::new();
        let full = loop {
            match fs::File::open(&folder) {
                Ok(file) => files.push(file),
                Err(error) => break error,
            }
        };
        assert!(files.len() < 200, "{full}");
        // The first read opens a connection.
        let errors = [
            store.run(&run_id("r")).await.unwrap_err(),
            SqliteStore::open(options(&folder)).await.unwrap_err(),
            SqliteStore::open(SqliteOptions { path: folder.join("new.db") }).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        tick(&store).await;
        drop(files);
        assert!(store.run(&run_id("r")).await.unwrap().is_some());
        store.start(&begin("s")).await.unwrap();
        drop(open(&folder).await);
        println!("all is well");
    });
}

#[cfg(unix)]
#[test]
fn a_lack_of_file_descriptors_passes() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact store::sqlite::tests::files::with_few_files --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env("NQ_TEST_FEW_FILES", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("all is well"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
