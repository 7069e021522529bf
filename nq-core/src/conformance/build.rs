//! Builders with which the cases write jobs and transactions of a flow `f` in few words.

use serde_json::Value;

use crate::def::OnFailure;
use crate::entry::data::{
    EventEmitted, FlowStarted, Log, StateSet, StepCompleted, StepEffect, StepFailed, StepRetrying, Typed,
};
use crate::entry::{EntryType, NewEntry};
use crate::id::{Name, QueueName, RunId};
use crate::store::Lease;
use crate::transaction::{
    Former, GatherArrival, GatherSpec, JobSpec, JoinArrival, LogLine, NewJob, Outcome, Renewal, Start,
    Transaction,
};

/// A name.
pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A run id.
pub(super) fn run_id(text: &str) -> RunId {
    RunId::new(text).unwrap()
}

/// The queue of a worker of the flow `f`.
pub(super) fn queue(worker: &str) -> QueueName {
    QueueName::of("f", worker)
}

/// The job of a worker that leads to no gather.
pub(super) fn job(worker: &str) -> JobSpec {
    JobSpec::new(name(worker), queue(worker))
}

impl JobSpec {
    /// The same, upstream of these gathers.
    pub(super) fn holding(mut self, gathers: &[&str]) -> Self {
        self.holds = gathers.iter().map(|gather| name(gather)).collect();
        self
    }

    /// The same, whose failure does not end the run.
    pub(super) fn optional(mut self) -> Self {
        self.on_failure = OnFailure::Continue;
        self
    }

    /// The same, dead after so many crashes.
    pub(super) fn crashes(mut self, max: u32) -> Self {
        self.max_crashes = max;
        self
    }
}

/// A gather.
pub(super) fn gather(job: JobSpec, rank: u32) -> GatherSpec {
    GatherSpec { spec: job, rank }
}

/// The beginning of a run of the flow `f`.
pub(super) fn start(run: &str, input: Value, job: JobSpec, gathers: &[GatherSpec]) -> Start {
    start_of("f", run, input, job, gathers)
}

/// The beginning of a run of any flow.
pub(super) fn start_of(flow: &str, run: &str, input: Value, job: JobSpec, gathers: &[GatherSpec]) -> Start {
    let started = NewEntry::of(FlowStarted {
        event: "begin".into(),
        input,
        trigger: "manual".into(),
        registry_hash: "0".into(),
        rerun_of: None,
    });
    Start { run: run_id(run), flow: name(flow), started, job, gathers: gathers.to_vec(), fork: None }
}

/// A log line of a step.
pub(super) fn line(lease: &Lease, message: &str) -> LogLine {
    let entry = Log::new(message).at(EntryType::LogInfo);
    LogLine { step: lease.step.clone(), attempt: lease.attempt, entry }
}

/// The renewal of a lease.
pub(super) fn renewal(lease: &Lease) -> Renewal {
    Renewal { run: lease.run.clone(), step: lease.step.clone(), fence: lease.fence }
}

/// A transaction in the making.
#[derive(Clone)]
pub(super) struct Write(pub(super) Transaction);

/// Begins a transaction of the attempt with this lease.
pub(super) fn write(lease: &Lease) -> Write {
    Write(Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt))
}

/// The transaction of an attempt that completes without having done anything.
pub(super) fn done(lease: &Lease) -> Transaction {
    write(lease).complete()
}

impl Write {
    /// An entry of any type.
    pub(super) fn entry(mut self, kind: EntryType, data: Value) -> Self {
        self.0.entries.push(NewEntry::new(kind, data));
        self
    }

    /// An entry that says this.
    pub(super) fn says(mut self, data: impl Typed) -> Self {
        self.0.entries.push(NewEntry::of(data));
        self
    }

    /// An event is emitted.
    pub(super) fn emit(self, event: &str, payload: Value) -> Self {
        let op = self.0.entries.len().to_string();
        self.says(EventEmitted { name: event.into(), payload, op, to: Vec::new() })
    }

    fn last(&self) -> (usize, String) {
        let at = self.0.entries.len() - 1;
        (at, format!("key-{at}"))
    }

    /// The last entry causes this job.
    pub(super) fn to(mut self, spec: JobSpec) -> Self {
        let (cause, key) = self.last();
        self.0.jobs.push(NewJob { spec, cause, key });
        self
    }

    /// The last entry arrives at a side of a join whose sides pair by order.
    pub(super) fn join(self, spec: JobSpec, side: u32, sides: u32) -> Self {
        self.join_by(spec, side, sides, "")
    }

    /// The last entry arrives at a side of a join with this value.
    pub(super) fn join_by(mut self, spec: JobSpec, side: u32, sides: u32, by: &str) -> Self {
        let (entry, key) = self.last();
        self.0.joins.push(JoinArrival { spec, sides, side, by: by.into(), entry, key });
        self
    }

    /// The last entry goes to the list of a gather.
    pub(super) fn gather(mut self, worker: &str) -> Self {
        let (entry, _) = self.last();
        self.0.gathered.push(GatherArrival { worker: name(worker), entry });
        self
    }

    /// Declares the gathers that the jobs of this transaction hold.
    pub(super) fn arming(mut self, gathers: &[GatherSpec]) -> Self {
        self.0.gathers = gathers.to_vec();
        self
    }

    /// A key of the state is set.
    pub(super) fn set(self, key: &str, value: Value) -> Self {
        self.says(StateSet { key: key.into(), value, op: "s".into() })
    }

    /// The step is done.
    pub(super) fn complete(self) -> Transaction {
        self.complete_with(Value::Null)
    }

    /// The step is done and has returned this.
    pub(super) fn complete_with(self, result: Value) -> Transaction {
        self.says(StepCompleted { result }).outcome(Outcome::Complete)
    }

    /// The attempt failed; another follows.
    pub(super) fn retry(self, delay_ms: u64) -> Transaction {
        self.again("no", delay_ms).outcome(Outcome::Retry { delay_ms })
    }

    /// The input does not fit the code; another attempt follows.
    pub(super) fn postpone(self, delay_ms: u64) -> Transaction {
        self.again("unfit", delay_ms).outcome(Outcome::Postpone { delay_ms })
    }

    fn again(self, error: &str, delay_ms: u64) -> Self {
        let next_attempt = self.0.attempt + 1;
        self.says(StepRetrying { error: Some(error.into()), reason: None, next_attempt, delay_ms })
    }

    /// The join or gather that the transaction names had this name before.
    pub(super) fn formerly(mut self, worker: &str, was: JobSpec) -> Self {
        self.0.former.push(Former { worker: name(worker), was });
        self
    }

    /// The step is dead.
    pub(super) fn fail(self, error: &str) -> Transaction {
        self.says(StepFailed { error: error.into() }).outcome(Outcome::Fail { error: error.into() })
    }

    /// The attempt is given back.
    pub(super) fn release(self) -> Transaction {
        self.outcome(Outcome::Release)
    }

    /// Records the result of a `ctx.run`; the attempt goes on.
    pub(super) fn effect(self, result: Value) -> Transaction {
        let mut write = self.says(StepEffect { name: "e".into(), op: "1".into(), result });
        write.0.recorded += 1;
        write.outcome(Outcome::Continue)
    }

    fn outcome(mut self, outcome: Outcome) -> Transaction {
        self.0.outcome = outcome;
        self.0
    }
}
