//! Child processes of a test: this test program again, as an instance that works on a store.
#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A running copy of this test program that runs one test, `child`, which works until it is killed.
pub(crate) struct Process {
    child: Child,
    /// Kept open: after a minute the test program prints that its test still runs, and would end if it could not print.
    _said: BufReader<ChildStdout>,
}

/// The variables that turn the test `child` into an instance: the store that it works on, and the folder that
/// its workers look into.
pub(crate) const URL: &str = "NQ_TEST_URL";
pub(crate) const FOLDER: &str = "NQ_TEST_FOLDER";

impl Process {
    /// Starts one, and returns when it says that it is ready.
    pub(crate) fn start(url: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a test program has a path"))
            .args(["--exact", "child", "--nocapture"])
            .env(URL, url)
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test program starts again");
        let mut said = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let ready = said.by_ref().lines().map_while(Result::ok).any(|line| line.contains(READY));
        assert!(ready, "the child ended before it was ready");
        Self { child, _said: said }
    }

    /// Freezes it: it runs no code, and keeps its leases and locks.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is only on its way: on a busy machine a thread of the process may still begin a transaction.
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("it is a child");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "it is stopped, not ended");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it, so that it runs no more code.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).expect("a child has a pid")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the child lives");
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

const READY: &str = "the child is ready";

/// What the child says when it is ready.
pub(crate) fn say_ready() {
    println!("{READY}");
}
