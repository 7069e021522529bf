//! A volume that is too small for all that is written: a disk in memory, in a name space of its own, or where
//! nobody may have one, a limit on the length of each file.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use super::*;

/// The size of the volume, and the limit of a file where there is no volume.
const KIB: u64 = 5 * 1024;

const VOLUME: &str = "NQ_TEST_VOLUME";
const FILLS: &str = "NQ_TEST_FILLS";
const THIS: &str = "store::sqlite::tests::volume::on_a_small_volume";

/// The beginning of a run with an input that takes a page.
fn large(run: &str) -> Start {
    let mut start = begin(run);
    start.started.data["input"] = "x".repeat(3_000).into();
    start
}

/// Starts runs until there is no room, and cancels every other. Returns how many.
async fn fill(store: &SqliteStore, name: &str) -> usize {
    let mut count = 0;
    loop {
        let run = format!("{name}-{count}");
        let mut done = store.start(&large(&run)).await.map(drop);
        if done.is_ok() && count % 2 == 0 {
            let cancel = Act::Cancel { reason: String::new() };
            done = store.act(&run_id(&run), &cancel).await.map(drop);
        }
        match done {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Unavailable,
                    "{error}: {:?}",
                    std::error::Error::source(&error)
                );
                assert!(error.to_string().contains("the disk is full"), "{error}");
                return count;
            }
        }
        assert!(count < 1_000_000, "it never gets full");
    }
}

/// Started by [`a_small_volume_is_used_and_goes_on`] where there is little room. Does nothing else.
#[test]
fn on_a_small_volume() {
    let Some(folder) = std::env::var_os(VOLUME) else { return };
    let folder = PathBuf::from(folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if std::env::var_os(FILLS).is_some() {
            let store = open(&folder).await;
            println!("started {}", fill(&store, "first").await);
            // As a process ends that is killed: the log stays.
            std::process::abort();
        }
        let killed = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--nocapture"])
            .env(FILLS, "")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&killed.stdout).into_owned();
        let errors = String::from_utf8_lossy(&killed.stderr).into_owned();
        let number = said.split("started ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let started: usize = number.unwrap_or_else(|| panic!("{said}{errors}")).parse().unwrap();
        let length =
            |suffix| fs::metadata(open::beside(&options(&folder).path, suffix)).map_or(0, |file| file.len());
        println!("{started} runs, {} {} {}", length(""), length("-wal"), length("-reserve"));

        let store = open(&folder).await;
        assert!(length("") > KIB * 1024 / 2, "the data take {} bytes of the volume", length(""));
        for n in [0, started / 2, started - 1] {
            assert!(
                store.run(&run_id(&format!("first-{n}"))).await.unwrap().is_some(),
                "run {n} of {started}"
            );
        }
        fill(&store, "second").await;
        // What is removed makes room, in the database and in the log.
        let mut removed = 0;
        loop {
            let ticked = tick_keeping(&store, Retention { completed_ms: Some(0), failed_ms: Some(0) }).await;
            removed += ticked.removed;
            if !ticked.more {
                break;
            }
        }
        assert!(removed >= started / 2, "{removed} of {started}");
        let again = fill(&store, "third").await;
        assert!(again >= started / 4, "{again} after {removed} of {started} were removed");
        drop(store);
        let store = open(&folder).await;
        assert!(store.run(&run_id("third-1")).await.unwrap().is_some());
        println!("all is well");
    });
}

#[test]
fn a_small_volume_is_used_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |script: String, through: &[&str]| {
        let mut words = through.iter().copied().chain(["sh", "-c", &script]);
        Command::new(words.next().unwrap())
            .args(words)
            .env(VOLUME, folder.path())
            .env("TEST", std::env::current_exe().unwrap())
            .output()
            .unwrap()
    };
    let mount = format!("mount -t tmpfs -o size={KIB}k none \"${VOLUME}\"");
    let test = format!("exec \"$TEST\" --exact {THIS} --nocapture");
    let own = ["unshare", "--map-root-user", "--mount"];
    let can_mount = Command::new("unshare").arg("--version").output().is_ok()
        && run(mount.clone(), &own).status.success();
    let output = if can_mount {
        run(format!("{mount} && {test}"), &own)
    } else {
        // In units of 512 bytes.
        run(format!("trap '' XFSZ; ulimit -f {} && {test}", KIB * 2), &[])
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("all is well"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
