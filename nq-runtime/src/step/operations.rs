//! The operations of a step. Each gets a position in the journal when it is called. It is then recognised there, buffered
//! for the next commit, or written at once.

use std::sync::MutexGuard;

use nq_core::decide::{self, End, Left, Operation, OperationKind, decide};
use nq_core::entry::EntryType;
use nq_core::store::Answer;
use nq_core::transaction::Transaction;
use nq_core::value::Written;
use serde::Serialize;
use serde_json::Value;

use super::Step;
use super::error::StepError;
use super::journal::{Journal, Recorded};
use super::values::fits;
use crate::act;

impl Step {
    /// The journal, and the position in it of an operation that is called now.
    fn position(
        &self,
        scope: &str,
        now: impl Fn() -> Recorded,
    ) -> Result<(MutexGuard<'_, Journal>, String), StepError> {
        if let Some((position, name)) = act::running(self.address()) {
            let error = StepError::InsideRun { now: now().to_string(), name };
            self.poison(&position, &error);
            return Err(error);
        }
        fits("the scope", scope)?;
        let mut journal = self.living(now)?;
        let position = journal.take_position(scope);
        Ok((journal, position))
    }

    /// The journal, unless the attempt is over.
    fn living(&self, now: impl Fn() -> Recorded) -> Result<MutexGuard<'_, Journal>, StepError> {
        let mut journal = self.journal();
        if !journal.is_over() {
            return Ok(journal);
        }
        let first = journal.is_late_for_the_first_time();
        drop(journal);
        if first {
            self.tell_late(&now());
        }
        Err(StepError::Over { why: "its handler has returned".into() })
    }

    /// Says in the timeline and in the program's log that an operation came too late.
    fn tell_late(&self, now: &Recorded) {
        let attempt = self.attempt();
        let message = format!(
            "`{now}` came after the attempt had ended, and is lost: a handler must await the tasks that it spawns"
        );
        // Outside of every span, so that it does not reach the timeline a second time.
        tracing::warn!(parent: None, run = %attempt.run, step = %attempt.step, "{message}");
        let line = decide::log(attempt, EntryType::LogWarn, message, serde_json::Map::new());
        self.inner.link.log(&attempt.run, line);
    }

    /// Notes that no attempt may follow if this one fails.
    fn poison(&self, position: &str, error: &StepError) {
        self.journal().poison(position, error);
    }

    /// Buffers an operation for the next commit, or recognises it as recorded.
    pub(crate) fn operate(&self, scope: &str, kind: OperationKind, bytes: usize) -> Result<(), StepError> {
        let (mut journal, position) = self.position(scope, || Recorded::of(&kind))?;
        journal.operate(position, kind, bytes)
    }

    /// Begins an operation whose outcome is recorded: its position, and the outcome if there is one already.
    pub(crate) fn begin(&self, scope: &str, name: &str) -> Result<(String, Option<Value>), StepError> {
        fits("the name", name)?;
        let (mut journal, position) = self.position(scope, || Recorded::effect(name))?;
        let recorded = journal.recorded_effect(&position, name)?;
        Ok((position, recorded))
    }

    /// Records the outcome of an operation; when this returns, it is in the timeline, at the position that it
    /// returns.
    pub(crate) async fn record(
        &self,
        position: String,
        name: &str,
        result: Value,
        bytes: usize,
    ) -> Result<u64, StepError> {
        let inner = &self.inner;
        drop(self.living(|| Recorded::effect(name))?);
        let end = End::Effect { position: position.clone(), name: name.into(), result };
        let tx = decide(&inner.flow, &inner.worker, &inner.attempt, &[], end);
        let n = self.write(&position, tx, bytes).await?;
        self.journal().cure(&position);
        Ok(n)
    }

    /// Turns the result of an act, which is done, into JSON. If that fails, no attempt may do the act again.
    pub(crate) fn result(
        &self,
        position: &str,
        name: &str,
        result: impl Serialize,
    ) -> Result<Written, StepError> {
        self.json(|| format!("the result of `ctx.run({name:?})`"), result).map_err(|error| {
            let error = StepError::Unrecorded { name: name.into(), error: Box::new(error) };
            self.poison(position, &error);
            error
        })
    }

    /// Commits what is buffered, and goes on.
    pub(crate) async fn checkpoint(&self, position: String) -> Result<(), StepError> {
        let inner = &self.inner;
        let (operations, bytes) = self.journal().take_buffered();
        let end = End::Checkpoint { position: position.clone() };
        let tx = decide(&inner.flow, &inner.worker, &inner.attempt, &operations, end);
        let n = self.write(&position, tx, bytes).await?;
        self.journal().committed(&operations, n);
        Ok(())
    }

    /// Sends the write of the operation at this position and waits for its answer: the position of the run's last entry.
    async fn write(&self, position: &str, tx: Transaction, bytes: usize) -> Result<u64, StepError> {
        let over = |why: &str| StepError::Over { why: why.into() };
        match self.answer_to(position, tx, bytes).await {
            Some(Answer::Committed { last }) => Ok(last.n),
            Some(Answer::LeaseLost) => Err(over("its lease is another's by now")),
            Some(Answer::RunEnded { status }) => Err(over(&format!("its run is {status}"))),
            Some(Answer::RunGone) => Err(over("its run is gone")),
            Some(Answer::TooLarge { limit }) => Err(over(&format!("it wrote more than {limit}"))),
            // The engine sends such a write again until it is answered, so no attempt gets this.
            Some(Answer::Later) => Err(over("its run is out of reach")),
            None => Err(over("the instance stops")),
        }
    }

    /// Ends the attempt, so that no later operation counts. Returns what it leaves behind.
    pub(crate) fn end(&self) -> Left {
        self.journal().end()
    }

    /// What is buffered, for tests of handlers.
    pub(crate) fn buffered(&self) -> Vec<Operation> {
        self.journal().buffered().to_vec()
    }
}
