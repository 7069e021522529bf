//! What can be asked of a store.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::ErrorKind;
use super::{Gathered, Read, StoreError};
use crate::entry::Entry;
use crate::id::{Name, QueueName, RunId, StepId};
pub use crate::job_state::QueueCounts;
use crate::limits;
use crate::record::{JobState, RunRecord};
use crate::status::RunStatus;

/// What a store knows, read without changing it. Each answer is committed and stays as it is.
#[async_trait]
pub trait Queries: Send + Sync {
    /// Reads entries of a run, at most `limit` and at most about 8 MiB, in order of position (or against it).
    /// A page is never empty while there is something for it, however large. A run that is not there:
    /// [`ErrorKind::NotFound`]. An empty answer means that nothing is there now.
    ///
    /// What is read is committed and stays as it is: no later read shows another entry at that position, and
    /// none before it, so that who reads on behind the last entry follows without gap or repeat. A page may be
    /// from several moments, as long as that holds. An entry that is missing where one must be is
    /// [`ErrorKind::Corrupt`], never a gap; so is one that cannot be read. The error names the run and the position,
    /// and reads of other runs are not affected.
    ///
    /// A reader that is ahead of the store (`after` is behind the last entry, or what the reader has `seen` is not
    /// there, or another entry is in its place) is told [`ErrorKind::Lost`]: the store was set back to an older
    /// state. It must not wait for entries that take the places of those that it has seen.
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError>;

    /// The events that a gather has got, in the order emitted, from the `from`-th (counted from 0), none
    /// emitted after position `upto`; at most `limit` and at most about 8 MiB, but never an empty page
    /// while there is something for it. A gather that has got nothing, or is not known: an empty answer. A
    /// run that is not there: [`ErrorKind::NotFound`].
    ///
    /// A store that does not have what the reader has `seen`, or has another entry in its place, was set back to an
    /// older state: [`ErrorKind::Lost`], never a shorter list.
    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError>;

    /// What is known of one run; none if it is not there. All of it is of one moment: a status that is terminal
    /// comes with the end and with a last entry that is the terminal one, or a log line behind it.
    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Runs, newest first, in pages; which of two that began in the same millisecond is the newer is the
    /// store's to say, but always the same. Runs that begin, end or go meanwhile move no page. A cursor
    /// that no page has given: [`ErrorKind::NotFound`].
    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError>;

    /// The counts of every queue that has or had jobs or was paused, by name. A queue that was only asked for
    /// may be among them, with nothing in it. Exact while nothing moves; a job that moves meanwhile may be
    /// counted where it was, where it is, or in both.
    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError>;

    /// The unfinished jobs of a run or a queue, dead letters among them, in the order of run and step, in
    /// pages. The end of a run removes its unfinished jobs, but for its dead letters, which stay until it goes; where
    /// it has more than some hundred, ticks remove the rest. A job that cannot be read is shown as the dead letter
    /// that it becomes.
    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError>;
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunsQuery {
    /// Only those of this flow.
    pub flow: Option<Name>,
    /// Only those with this status.
    pub status: Option<RunStatus>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`]; 0 stands for
    /// [`crate::limits::LISTED`].
    pub limit: usize,
}

impl RunsQuery {
    /// The most runs of a page.
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }
}

/// How many runs or jobs a page lists whose query has this limit.
fn page_size(limit: usize) -> usize {
    if limit == 0 { limits::LISTED } else { limit.min(limits::MAX_READ_ENTRIES) }
}

/// Some runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsPage {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Where the next page begins; none where this is the last. Opaque.
    pub next: Option<String>,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobsQuery {
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those of this queue.
    pub queue: Option<QueueName>,
    /// Only dead letters.
    pub dead: bool,
    /// Only those after this one, in the order of run and step.
    pub after: Option<(RunId, StepId)>,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`]; 0 stands for
    /// [`crate::limits::LISTED`].
    pub limit: usize,
}

impl JobsQuery {
    /// The most jobs of a page.
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }
}

/// A job, for people to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is.
    #[serde(flatten)]
    pub state: JobState,
    /// The number of the attempt that runs or comes next; of a dead letter, of its last attempt.
    pub attempt: u32,
    /// How many attempts have failed.
    pub failures: u32,
    /// How many leases have run out.
    pub crashes: u32,
}
