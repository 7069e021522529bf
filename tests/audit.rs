//! The example `audit`, as people use it: as a process, that is killed now and then.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod example;
    pub(crate) mod sound;
}

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nq::{Client, Entry, EntryType, Run};
use support::example::{Example, program};
use support::sound::sound;
use tempfile::TempDir;
use tokio::process::Command;

/// A lock file with its packages in a Cargo home, in a folder of their own.
struct Project {
    folder: TempDir,
    packages: usize,
}

/// Every tenth package has no source.
fn has_source(package: usize) -> bool {
    package % 10 != 9
}

impl Project {
    fn new(packages: usize) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), packages };
        let mut lock = String::from("version = 4\n");
        for package in 0..packages {
            let name = format!("package-{package:04}");
            let version = if package == 1 { "2.0.0" } else { "1.0.0" };
            // The second has the name of the first: they are two versions of one package.
            let name = if package == 1 { "package-0000".to_owned() } else { name };
            let source = "registry+https://github.com/rust-lang/crates.io-index";
            let _ = write!(
                lock,
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
            );
            if has_source(package) {
                project.write_source(&format!("{name}-{version}"), package);
            }
        }
        project.write("Cargo.lock", &lock);
        project
    }

    fn write_source(&self, directory: &str, package: usize) {
        let source = format!("home/registry/src/index.example.com-0/{directory}");
        self.write(&format!("{source}/Cargo.toml"), "[package]\nname = \"x\"\nlicense = \"MIT\"\n");
        let lines = "fn f() {}\n".repeat(package % 7);
        self.write(&format!("{source}/src/lib.rs"), format!("{lines}fn g() {{ unsafe {{}} }}\n"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A command that audits the project. It keeps its runs in `<store>.db` and writes `<store>.md`.
    fn audit(&self, store: &str, arguments: &[&str]) -> Command {
        self.audit_in(&format!("sqlite:{store}.db"), store, arguments)
    }

    /// A command that audits the project, keeps its runs at this URL and writes `<name>.md`.
    fn audit_in(&self, url: &str, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("audit"));
        command.current_dir(self.folder.path()).env("CARGO_HOME", self.path("home"));
        command.args(["--store", url, "-o", &format!("{name}.md")]).args(arguments);
        command
    }

    /// The only run in a store.
    async fn run(&self, store: &str) -> Run {
        let path = self.path(&format!("{store}.db"));
        only_run(&nq::open(&format!("sqlite:{}", path.display())).await.unwrap().client().unwrap()).await
    }

    /// Checks that a run is whole and inspected each package to completion once.
    async fn check(&self, run: &Run) -> Vec<Entry> {
        let entries = sound(run).await;
        let inspected: Vec<_> =
            steps(&entries, EntryType::StepCompleted).filter(|entry| worker(entry) == "inspect").collect();
        assert_eq!(inspected.len(), self.packages, "each package is inspected once");
        let names = emitted(&entries, "package.inspected");
        let names: BTreeSet<_> = names.map(|payload| payload["inspected"].to_string()).collect();
        assert_eq!(names.len(), self.packages, "and no other");
        let state = run.state().await.unwrap();
        assert_eq!((&state["packages"], &state["inspected"]), (&self.packages.into(), &self.packages.into()));
        assert_eq!(
            state["withoutSource"],
            (0..self.packages).filter(|package| !has_source(*package)).count()
        );
        entries
    }
}

async fn only_run(client: &Client) -> Run {
    let runs = client.runs().all().await.unwrap();
    let [run] = &runs[..] else { panic!("one run is in the store: {runs:?}") };
    client.run(&run.run).unwrap()
}

fn steps(entries: &[Entry], kind: EntryType) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(move |entry| entry.kind == kind)
}

fn worker(entry: &Entry) -> &str {
    entry.step.as_ref().map(|step| step.worker().as_str()).unwrap_or_default()
}

fn emitted<'a>(entries: &'a [Entry], event: &'a str) -> impl Iterator<Item = &'a serde_json::Value> {
    let events = steps(entries, EntryType::EventEmitted).filter(move |entry| entry.data["name"] == event);
    events.map(|entry| &entry.data["payload"])
}

/// The instances that began inspections.
fn instances(entries: &[Entry]) -> BTreeSet<String> {
    let begun = steps(entries, EntryType::StepStarted).filter(|entry| worker(entry) == "inspect");
    begun.map(|entry| entry.data["instance"].to_string()).collect()
}

#[tokio::test]
async fn an_audit_prints_and_writes_what_it_found() {
    let project = Project::new(40);
    let shown = Example::start(&mut project.audit("a", &[])).ended().await.success();
    let lines: usize = (0..40).filter(|package| has_source(*package)).map(|package| 1 + package % 7).sum();
    let expected = [
        &format!("40 packages, {lines} lines of Rust"),
        "36 unsafe blocks in 36 packages",
        "1 package in several versions: package-0000",
        "4 packages were not inspected: the source is not there",
        "… and 20 more",
        "The whole report: a.md",
    ];
    for expected in expected {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    let report = project.read("a.md");
    let expected = [
        "| package-0009 | 1.0.0 | crates.io | (not unpacked: run `cargo fetch`) | ? | ? | ? | ? |\n",
        "| package-0010 | 1.0.0 | crates.io | MIT | 4 | 1 |  |  |\n",
        "| package-0000 | 2.0.0 |  |\n",
        "| MIT | 36 |\n",
    ];
    for expected in expected {
        assert!(report.contains(expected), "{expected}:\n{report}");
    }
    project.check(&project.run("a").await).await;
}

#[tokio::test]
async fn a_finished_audit_is_printed_again_and_not_made_again() {
    let project = Project::new(20);
    let first = Example::start(&mut project.audit("a", &[])).ended().await.success();
    let report = project.read("a.md");
    std::fs::remove_dir_all(project.path("home")).unwrap();
    let again = Example::start(&mut project.audit("a", &[])).ended().await;
    assert!(again.stderr.contains("is finished; `--again` begins a new one"), "{}", again.stderr);
    assert_eq!((again.success(), project.read("a.md")), (first, report));
    project.check(&project.run("a").await).await;

    let anew = Example::start(&mut project.audit("a", &["--again"])).ended().await.success();
    assert!(anew.contains("20 packages were not inspected"), "{anew}");
    project.write("Cargo.lock", "version = 4\n");
    let changed = Example::start(&mut project.audit("a", &[])).ended().await.success();
    assert!(changed.contains("0 packages, 0 lines of Rust"), "{changed}");
    let listed = Example::start(&mut project.audit("a", &["--list"])).ended().await.success();
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 4, "{listed}");
    assert!(
        rows[1..].iter().all(|row| row[1] == "completed" && row.last().unwrap().ends_with("/Cargo.lock"))
    );
    assert_eq!(rows[2][0], format!("{}.2", rows[3][0]), "newest first: {listed}");
    assert!(listed.contains("20 of 20"), "{listed}");
}

#[tokio::test]
async fn a_timeline_is_printed_an_entry_a_line() {
    let project = Project::new(10);
    Example::start(&mut project.audit("a", &[])).ended().await.success();
    let run = project.run("a").await;
    let shown =
        Example::start(&mut project.audit("a", &["--timeline", run.id().as_str()])).ended().await.success();
    let entries = run.entries(Vec::new()).await.unwrap();
    let lines: Vec<_> = shown.lines().skip(2).collect();
    assert_eq!(lines.len(), entries.len());
    for (line, entry) in lines.iter().zip(&entries) {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2]), (entry.id.n.to_string().as_str(), entry.kind.as_str()));
        assert!(line.contains(worker(entry)), "{line}");
    }
    assert!(shown.contains("no source to inspect"), "log lines are part of it:\n{shown}");
    assert!(shown.lines().next().unwrap().contains("completed in"), "{shown}");
}

#[tokio::test]
async fn mistakes_are_told_before_anything_starts() {
    let project = Project::new(1);
    let cases: [(&str, Option<&[u8]>, &str); 6] = [
        ("missing", None, "there is no lock file at `missing`\nhelp: `cargo generate-lockfile` writes one"),
        ("empty", Some(b""), "is empty\nhelp: remove it"),
        (
            "binary",
            Some(b"\x7fELF\x02\0\0"),
            "binary data: byte 5 is no text\nhelp: give the path of a `Cargo.lock`",
        ),
        ("newer", Some(b"version = 5\n"), "has version 5, and this program reads the versions 1 to 4\nhelp:"),
        ("merged", Some(b"version = 4\n=======\n"), "is not a lock file that cargo would write: line 2: "),
        (
            "folder/Cargo.toml",
            Some(b"[package]\nname = \"x\"\n"),
            "is not a lock file that cargo would write: ",
        ),
    ];
    for (name, content, expected) in cases {
        if let Some(content) = content {
            project.write(name, content);
        }
        let ended = Example::start(&mut project.audit("a", &[name])).ended().await;
        assert_eq!(ended.status.code(), Some(2), "{name}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(expected),
            "{name}: {}",
            ended.stderr
        );
        assert!(!project.path("a.db").exists(), "{name}: nothing was started");
    }
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--timeline", "audit-0"], 1, "there is no such run"),
        (&["--store", "mysql://localhost"], 1, "`memory:`, `sqlite:` or `redis://`"),
        (&["--store", "sqlite:no/such/folder/a.db"], 1, "no/such/folder"),
        (&["--list", "--again"], 2, "cannot be used with"),
    ];
    for (arguments, code, expected) in cases {
        // A repeated option would be an error of its own.
        let mut command = Command::new(program("audit"));
        let ended = Example::start(command.current_dir(project.folder.path()).args(arguments)).ended().await;
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_tried_again_and_then_reported() {
    let project = Project::new(3);
    project.write("home/registry/src/index.example.com-0/package-0002-1.0.0/Cargo.toml", "not = [toml");
    Example::start(&mut project.audit("a", &[])).ended().await.success();
    let report = project.read("a.md");
    assert!(report.contains("| package-0002 | 1.0.0 | crates.io | (not readable: "), "{report}");
    let entries = sound(&project.run("a").await).await;
    assert_eq!(steps(&entries, EntryType::StepRetrying).count(), 3);
}

/// The seed of the moments at which processes are killed, another one with `NQ_TEST_SEED`.
fn seed() -> u64 {
    std::env::var("NQ_TEST_SEED").map_or(7, |seed| seed.parse().expect("a seed is a number"))
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_and_reports_the_same() {
    const KILLS: usize = 50;
    let project = Project::new(300);
    Example::start(&mut project.audit("undisturbed", &[])).ended().await.success();
    let undisturbed = project.read("undisturbed.md");

    let mut random = fastrand::Rng::with_seed(seed());
    let (mut kills, mut lost, mut round) = (0, 0, 0);
    while kills < KILLS {
        round += 1;
        let store = format!("killed-{round}");
        loop {
            let mut audit = Example::start(&mut project.audit(&store, &["--delay-ms", "5"]));
            // When it has been killed often enough it is left alone, to finish.
            let time = if kills < KILLS { Duration::from_millis(random.u64(1..400)) } else { Duration::MAX };
            if audit.ends_within(time).await {
                audit.ended().await.success();
                break;
            }
            audit.kill().await;
            kills += 1;
        }
        assert_eq!(project.read(&format!("{store}.md")), undisturbed, "seed {}", seed());
        let entries = project.check(&project.run(&store).await).await;
        for pair in entries.windows(2) {
            let idle = pair[1].id.ms - pair[0].id.ms;
            assert!(idle < 10_000, "it goes on at once, not when the leases of the dead run out: {idle} ms");
        }
        lost += steps(&entries, EntryType::StepStarted).filter(|entry| entry.attempt > Some(1)).count();
    }
    assert!(lost >= KILLS, "the kills interrupt steps: {lost} began again");
}

#[tokio::test]
async fn two_processes_share_the_work_of_one_run() {
    let project = Project::new(200);
    let start = || Example::start(&mut project.audit("a", &["--delay-ms", "20"]));
    let (one, other) = (start(), start());
    let (one, other) = (one.ended().await.success(), other.ended().await.success());
    assert_eq!(one, other);
    let entries = project.check(&project.run("a").await).await;
    assert_eq!(instances(&entries).len(), 2, "both did some");
    let begun = steps(&entries, EntryType::StepStarted).filter(|entry| worker(entry) == "inspect");
    assert_eq!(begun.count(), 200, "nothing was begun twice");
}

#[tokio::test]
async fn a_worker_works_for_others_until_it_is_interrupted() {
    let project = Project::new(200);
    let worker = Example::start(&mut project.audit("a", &["--worker", "--delay-ms", "20"]));
    let audit = Example::start(&mut project.audit("a", &["--delay-ms", "20"]));
    audit.ended().await.success();
    worker.interrupt();
    let worker = worker.ended().await;
    assert_eq!(worker.status.code(), Some(130), "{}", worker.stderr);
    let entries = project.check(&project.run("a").await).await;
    assert_eq!(instances(&entries).len(), 2, "both did some");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn processes_on_redis_share_an_audit_and_go_on_for_those_that_are_killed() {
    let project = Project::new(200);
    Example::start(&mut project.audit("undisturbed", &[])).ended().await.success();
    let server = redis::RedisServer::start(redis::EVERY_SECOND);
    let url = server.url("");
    let options = ["--delay-ms", "20", "--lease-ms", "600"];
    let audit = || Example::start(&mut project.audit_in(&url, "shared", &options));
    let work =
        || Example::start(&mut project.audit_in(&url, "worker", &[&options[..], &["--worker"]].concat()));
    let client = nq::open(&url).await.unwrap().client().unwrap();
    let inspected = async |by: usize| {
        while client.runs().all().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let run = only_run(&client).await;
        while instances(&run.entries(Vec::new()).await.unwrap()).len() < by {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    // Each of them is killed once it holds packages; the others, and those that come, go on.
    let (first, worker) = (audit(), work());
    inspected(2).await;
    first.kill().await;
    let other = work();
    inspected(3).await;
    worker.kill().await;
    audit().ended().await.success();
    other.interrupt();
    assert_eq!(other.ended().await.status.code(), Some(130));
    assert_eq!(project.read("shared.md"), project.read("undisturbed.md"));
    let entries = project.check(&only_run(&client).await).await;
    assert!(
        steps(&entries, EntryType::StepStarted).any(|entry| entry.attempt > Some(1)),
        "the kills hit work"
    );
}

#[tokio::test]
async fn the_lock_file_of_this_repository_is_audited() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("audit"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = Example::start(command.current_dir(folder.path()).arg(repository).arg("--all"));
    let shown = shown.ended().await.success();
    let row = |name: &str| {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name));
        row.unwrap_or_else(|| panic!("{name} is missing:\n{shown}")).to_owned()
    };
    for name in ["nq", "nq-core", "nq-macros", "nq-runtime", "xtask"] {
        assert!(row(name).contains("MIT OR Apache-2.0"), "{}", row(name));
    }
    assert!(row("proc-macro2").contains("crates.io"), "{}", row("proc-macro2"));
    assert!(row("nq-macros").trim_end().ends_with("yes"), "a proc macro: {}", row("nq-macros"));
}
