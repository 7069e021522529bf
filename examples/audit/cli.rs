//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Audits what a Cargo.lock brings in: the licence, the size, the unsafe blocks and the build-time code of
/// every package, and what is there in several versions.
///
/// An audit is a run of a durable flow. Stop it in any way and start it again with the same arguments: it goes
/// on where it was. When it has finished, the same arguments print its report again, until the lock file
/// changes or you say `--again`. An audit that failed is begun anew.
///
/// Several processes with one store share the work.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Parser)]
#[command(
    name = "audit",
    after_help = "Exit codes: 0 the report was printed, 1 the audit or its store failed, 2 the arguments or the lock file are no good, 130 interrupted."
)]
pub(crate) struct Cli {
    /// The lock file, or the directory that it is in.
    #[arg(value_name = "LOCKFILE", default_value = "Cargo.lock")]
    pub(crate) lockfile: PathBuf,

    /// Where runs are kept, and shared with other processes: `sqlite:PATH`, or, built with the feature `redis`,
    /// `redis://HOST` for processes on several machines.
    #[arg(long, value_name = "URL", default_value = "sqlite:audit.db")]
    pub(crate) store: String,

    /// Where the whole report goes, as Markdown.
    #[arg(short, long, value_name = "FILE", default_value = "audit-report.md")]
    pub(crate) output: PathBuf,

    /// Shows every package in the terminal too, not only those that deserve a look first.
    #[arg(long)]
    pub(crate) all: bool,

    /// Begins a new run although there is a finished one. (One that is not finished goes on.)
    #[arg(long)]
    pub(crate) again: bool,

    /// Lists the runs in the store, newest first.
    #[arg(long, conflicts_with_all = ["timeline", "worker", "again"])]
    pub(crate) list: bool,

    /// Prints everything that happened in a run, an entry a line.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["worker", "again"])]
    pub(crate) timeline: Option<String>,

    /// Only works on what others start, until it is interrupted.
    #[arg(long, conflicts_with = "again")]
    pub(crate) worker: bool,

    /// How many milliseconds longer each inspection takes than it must.
    #[arg(long, value_name = "MS", default_value_t = 0, hide = true)]
    pub(crate) delay_ms: u64,

    /// After how many milliseconds another process takes over the packages of a process that died.
    #[arg(long, value_name = "MS", default_value_t = 30_000, hide = true)]
    pub(crate) lease_ms: u64,
}

impl Cli {
    /// How many packages the table has at most.
    pub(crate) fn rows(&self) -> usize {
        if self.all { usize::MAX } else { 20 }
    }

    /// The store as it may be shown: without user and password.
    pub(crate) fn shown_store(&self) -> String {
        let parts = self.store.split_once("://").zip(self.store.rsplit_once('@'));
        parts.map_or_else(|| self.store.clone(), |((scheme, _), (_, host))| format!("{scheme}://…@{host}"))
    }

    /// How much longer each inspection takes than it must.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// How long after its death the packages of a process are taken over.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}
