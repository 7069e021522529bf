//! What can be seen of a store, told without what may differ between two: moments in time, and the order of what
//! happens at one moment.

use std::time::Duration;

use nq_core::entry::{Entry, EntryType};
use nq_core::id::RunId;
use nq_core::record::{JobState, RunRecord};
use nq_core::state::State;
use nq_core::status::{RunStatus, RunView};
use nq_core::store::{Gathered, Interest, JobSummary, JobsQuery, Read, RunsQuery};
use serde_json::{Value, json};

use super::flow::{FLOWS, GATHERS, WORKERS, name, queue, run_id};
use super::ops::Ask;
use super::told::{error, step, timeless};
use super::world::World;

impl World {
    /// Where there is something already, whoever waits is told at once. Else nobody has to wait for this test.
    pub(super) async fn wait(&self, worker: &str, run: usize, after: u64) -> Value {
        let (queue, run) = (queue(worker), run_id(run));
        let counts = self.resend(async || self.store.queues().await).await.unwrap();
        let queued = counts.iter().any(|counts| counts.queue == queue && counts.queued > 0 && !counts.paused);
        let known = self.resend(async || self.store.run(&run).await).await.unwrap();
        let moved = known.as_ref().is_some_and(|run| run.last.n > after);
        let ended = known.as_ref().is_some_and(|run| run.status.is_terminal());
        for (there, interest) in [
            (queued, Interest::Queues(vec![queue])),
            (moved, Interest::Run { run: run.clone(), after }),
            (ended, Interest::End { run }),
        ] {
            let patience = if there { Duration::from_secs(600) } else { Duration::ZERO };
            let waiting = self.resend(async || self.store.wait(&interest, patience).await);
            let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
            waited.unwrap_or_else(|_| panic!("nobody is told of {interest:?}")).unwrap();
        }
        json!([queued, moved, ended])
    }

    pub(super) async fn ask(&self, ask: &Ask) -> Value {
        match ask {
            Ask::Runs { flow, status, limit } => {
                let status = status.map(|status| RunStatus::ALL[status]);
                let flow = flow.map(|flow| name(FLOWS[flow]));
                let runs = self.runs(RunsQuery { flow, status, cursor: None, limit: *limit }).await;
                json!(runs.iter().map(|run| &run.run).collect::<Vec<_>>())
            }
            Ask::Jobs { run, worker, dead, limit } => {
                let (run, queue) = (run.map(run_id), worker.map(|worker| queue(WORKERS[worker])));
                let query = JobsQuery { run, queue, dead: *dead, after: None, limit: *limit };
                let jobs = self.jobs(query).await;
                json!(jobs.iter().map(job_line).collect::<Vec<_>>())
            }
            Ask::Read { run, after, upto, limit, events, reverse } => {
                let types =
                    if *events { vec![EntryType::EventEmitted, EntryType::FlowStarted] } else { Vec::new() };
                let (limit, reverse) = (*limit, *reverse);
                let read = Read { upto: *upto, limit, types, reverse, ..Read::after(run_id(*run), *after) };
                let page = self.resend(async || self.store.read(&read).await).await;
                page.map_or_else(error, |page| json!(page.iter().map(|entry| entry.id.n).collect::<Vec<_>>()))
            }
            Ask::Gathered { run, gather, upto, from, limit } => {
                let (run, worker) = (run_id(*run), name(GATHERS[*gather]));
                let (upto, from, limit) = (*upto, *from, *limit);
                let asked = Gathered { run, worker, upto, from, limit, seen: None };
                let page = self.resend(async || self.store.gathered(&asked).await).await;
                page.map_or_else(error, |page| json!(page.iter().map(|entry| entry.id.n).collect::<Vec<_>>()))
            }
        }
    }

    /// The jobs of a query, from all of its pages.
    pub(super) async fn jobs(&self, mut query: JobsQuery) -> Vec<JobSummary> {
        let mut jobs = Vec::new();
        loop {
            let page = self.resend(async || self.store.jobs(&query).await).await.unwrap();
            let Some(last) = page.last() else { return jobs };
            query.after = Some((last.run.clone(), last.step.clone()));
            jobs.extend(page);
        }
    }

    /// The runs of a query, from all of its pages.
    async fn runs(&self, mut query: RunsQuery) -> Vec<RunRecord> {
        let mut runs = Vec::new();
        loop {
            let page = self.resend(async || self.store.runs(&query).await).await.unwrap();
            runs.extend(page.runs);
            query.cursor = page.next;
            if query.cursor.is_none() {
                return runs;
            }
        }
    }

    /// Every entry of a run, from all of its pages.
    pub(super) async fn timeline(&self, run: &RunId) -> Vec<Entry> {
        let mut timeline = Vec::new();
        loop {
            let read = Read { limit: 50, ..Read::after(run.clone(), timeline.len() as u64) };
            let page = self.resend(async || self.store.read(&read).await).await.unwrap();
            if page.is_empty() {
                return timeline;
            }
            timeline.extend(page);
        }
    }

    /// Everything that can be seen of the store, a line for each thing.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for queue in self.resend(async || self.store.queues().await).await.unwrap() {
            // A queue that nobody has used may be named or not.
            lines.extend((queue.jobs() > 0 || queue.paused).then(|| json!(queue).to_string()));
        }
        lines.extend(self.jobs(all_jobs()).await.iter().map(job_line));
        let mut runs = self.runs(RunsQuery { limit: 3, ..RunsQuery::default() }).await;
        // Which of two that began at the same moment is the newer is nobody's promise.
        runs.sort_by(|a, b| a.run.cmp(&b.run));
        for run in runs {
            lines.push(format!(
                "{} of {} {} {} pending {}",
                run.run, run.flow, run.status, run.last.n, run.pending
            ));
            self.dump_run(&run.run, &mut lines).await;
        }
        lines
    }

    async fn dump_run(&self, run: &RunId, lines: &mut Vec<String>) {
        let summary = self.resend(async || self.store.run(run).await).await.unwrap().unwrap();
        let timeline = self.timeline(run).await;
        // The records agree with the folds over the entries.
        let view = RunView::of(&timeline);
        assert_eq!(view.status, Some(summary.status), "{run}");
        assert_eq!(timeline.last().map(|entry| entry.id), Some(summary.last), "{run}");
        let ends = timeline.iter().filter(|entry| entry.kind.is_terminal()).count();
        assert_eq!(ends, usize::from(summary.status.is_terminal()), "{run}");
        lines.push(format!("state {:?}", State::of(&timeline).map));
        for (id, view) in view.steps {
            lines.push(format!("{} {:?} {}", step(&id), view.status, view.attempt));
        }
        for gather in GATHERS {
            let all = Gathered {
                run: run.clone(),
                worker: name(gather),
                upto: u64::MAX >> 11,
                from: 0,
                limit: 999,
                seen: None,
            };
            let got = self.resend(async || self.store.gathered(&all).await).await.unwrap();
            lines.push(format!("{gather} {:?}", got.iter().map(|entry| entry.id.n).collect::<Vec<_>>()));
        }
        for entry in timeline {
            let of = entry.step.as_ref().map(step);
            lines.push(format!(
                "{} {} {of:?} {:?} {}",
                entry.id.n,
                entry.kind,
                entry.attempt,
                timeless(entry.data)
            ));
        }
    }
}

/// Every job.
pub(super) fn all_jobs() -> JobsQuery {
    JobsQuery { limit: 7, ..JobsQuery::default() }
}

fn job_line(job: &JobSummary) -> String {
    let state = match &job.state {
        JobState::Leased { instance, .. } => format!("leased by {instance}"),
        JobState::Delayed { .. } => "delayed".into(),
        state => format!("{state:?}"),
    };
    let numbers = (job.attempt, job.failures, job.crashes);
    format!("{} {} {} {state} {numbers:?}", job.run, step(&job.step), job.queue)
}
