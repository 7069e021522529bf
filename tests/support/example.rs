//! Example programs as processes: started, killed, interrupted, waited for.
#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The longest that a test waits for a process that should end by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program of an example. Cargo builds the examples of a package before it runs the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test program has a path");
    let profile = test.parent().and_then(Path::parent).expect("it lies in target/<profile>/deps");
    let program = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "build it first: cargo build --example {name}");
    program
}

/// A running example.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    /// Its output goes to files: a pipe that nobody reads would block it.
    said: TempDir,
}

/// How an example ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Example {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let said = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| Stdio::from(File::create(said.path().join(name)).expect("a file"));
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).kill_on_drop(true);
        Self { child: command.spawn().expect("the example starts"), said }
    }

    /// Lets it run for a while. True if it ended by itself meanwhile.
    pub(crate) async fn ends_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.child.wait()).await.is_ok()
    }

    /// Waits for a line that it prints, and returns what stands there behind `start`.
    pub(crate) async fn printed(&self, start: &str) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let said = std::fs::read_to_string(self.said.path().join("stdout")).expect("it writes text");
            let mut whole = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            if let Some(rest) = whole.find_map(|line| line.strip_prefix(start)) {
                return rest.to_owned();
            }
            assert!(tokio::time::Instant::now() < end, "it does not print `{start}…`:\n{said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it, so that it runs no more code.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Interrupts it, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it runs");
        kill_process(pid, Signal::INT).expect("it can be interrupted");
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Ended {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let said = |name: &str| std::fs::read_to_string(self.said.path().join(name)).expect("it wrote text");
        let (stdout, stderr) = (said("stdout"), said("stderr"));
        let Ok(status) = ended else { panic!("it does not end; so far it said:\n{stdout}\n{stderr}") };
        Ended { status: status.expect("it can be waited for"), stdout, stderr }
    }
}

impl Ended {
    /// What it printed, if all went well.
    pub(crate) fn success(self) -> String {
        assert!(self.status.success(), "{}:\n{}", self.status, self.stderr);
        self.stdout
    }
}
