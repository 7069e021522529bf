//! The way to an engine: the messages that attempts and the program send to it.

use std::sync::Arc;

use nq_core::id::{RunId, StepId};
use nq_core::store::{Answer, Lease, StartAnswer};
use nq_core::transaction::{LogLine, Start, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::lines::Lines;

/// The way to an engine, from the attempts that it runs and from the program.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// To the engine of the instance.
    Engine {
        /// The messages to it.
        messages: mpsc::UnboundedSender<Message>,
        /// The log lines that it appends.
        lines: Arc<Lines>,
    },
    /// To nowhere: for a handler that a test calls, and for a program that runs no workers.
    Detached,
}

/// A job that an instance holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    pub(crate) run: RunId,
    pub(crate) step: StepId,
}

impl JobKey {
    /// The job that is leased.
    pub(crate) fn of(lease: &Lease) -> Self {
        Self { run: lease.run.clone(), step: lease.step.clone() }
    }

    /// The job whose attempt writes.
    pub(crate) fn of_write(tx: &Transaction) -> Self {
        Self { run: tx.run.clone(), step: tx.step.clone() }
    }
}

/// A message to an engine.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every message is a write")]
pub(crate) enum Message {
    /// A write. The end of an attempt does not wait for the answer, so it has no `reply`.
    Write {
        /// What to commit.
        tx: Transaction,
        /// The approximate bytes of its payloads.
        bytes: usize,
        /// Where the answer goes, if somebody waits for it.
        reply: Option<oneshot::Sender<Answer>>,
    },
    /// A run to begin.
    Start {
        /// What it begins with.
        start: Box<Start>,
        /// The approximate bytes of its input.
        bytes: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<StartAnswer>,
    },
    /// The attempt is over and writes nothing: its lease was lost.
    Gone {
        /// The job.
        key: JobKey,
    },
    /// There are log lines to append.
    Lines,
    /// A run was ended from outside, through this very instance.
    RunEnded {
        /// The run.
        run: RunId,
    },
    /// The runtime of the handlers was shut down, and has dropped its tasks.
    RuntimeGone,
}

impl Link {
    /// A way to an engine, and its other end.
    pub(crate) fn to_engine() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, received) = mpsc::unbounded_channel();
        (Self::Engine { messages, lines: Arc::default() }, received)
    }

    /// Sends a write, to whose answer there is a way then; none if the engine is gone.
    pub(crate) fn write(&self, tx: Transaction, bytes: usize) -> Option<oneshot::Receiver<Answer>> {
        let (reply, answer) = oneshot::channel();
        match self {
            Self::Engine { messages, .. } => {
                messages.send(Message::Write { tx, bytes, reply: Some(reply) }).ok()?;
            }
            // The other end stands in the next line.
            Self::Detached => drop(reply.send(Answer::Committed { last: tx.step.cause() })),
        }
        Some(answer)
    }

    /// Begins a run with the next turn of the engine; none if there is no engine that could.
    pub(crate) async fn start(&self, start: Start, bytes: usize) -> Option<StartAnswer> {
        let Self::Engine { messages, .. } = self else { return None };
        let (reply, answer) = oneshot::channel();
        messages.send(Message::Start { start: Box::new(start), bytes, reply }).ok()?;
        answer.await.ok()
    }

    /// Sends a message that has no answer.
    pub(crate) fn send(&self, message: Message) {
        if let Self::Engine { messages, .. } = self {
            // If the engine is gone, `shutdown` and `stopped` say so.
            let _ = messages.send(message);
        }
    }

    /// Sends a log line.
    pub(crate) fn log(&self, run: &RunId, line: LogLine) {
        if let Self::Engine { lines, .. } = self
            && lines.add(run, line, Instant::now())
        {
            self.send(Message::Lines);
        }
    }

    /// The log lines that wait for the store.
    pub(crate) fn lines(&self) -> Arc<Lines> {
        match self {
            Self::Engine { lines, .. } => lines.clone(),
            Self::Detached => Arc::default(),
        }
    }

    /// Returns when the engine is gone.
    pub(crate) async fn closed(&self) {
        if let Self::Engine { messages, .. } = self {
            messages.closed().await;
        }
    }
}
