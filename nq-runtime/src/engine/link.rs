//! What attempts tell the engine.

use nq_core::id::RunId;
use nq_core::store::Answer;
use nq_core::transaction::{LogLine, Transaction};
use tokio::sync::{mpsc, oneshot};

/// The way from an attempt to the engine that runs it.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// To the engine of the instance.
    Engine(mpsc::UnboundedSender<Message>),
    /// To nowhere: a handler that a test calls.
    Detached,
}

/// What an attempt tells the engine.
#[derive(Debug)]
pub(crate) enum Message {
    /// A write, and who waits for its answer. The end of an attempt waits for none.
    Write {
        /// What to commit.
        tx: Transaction,
        /// How many bytes of payload it has, about.
        bytes: usize,
        /// Who waits.
        reply: Option<oneshot::Sender<Answer>>,
    },
    /// The attempt is over and writes nothing: its lease was lost.
    Gone {
        /// The job.
        key: super::JobKey,
    },
    /// A log line.
    Log {
        /// The run.
        run: RunId,
        /// The line.
        line: LogLine,
    },
}

impl Link {
    /// Sends a write and waits for its answer; none if the engine is gone.
    pub(crate) async fn write(&self, tx: Transaction, bytes: usize) -> Option<Answer> {
        let Self::Engine(engine) = self else { return Some(Answer::Committed { last: tx.step.cause() }) };
        let (reply, answer) = oneshot::channel();
        engine.send(Message::Write { tx, bytes, reply: Some(reply) }).ok()?;
        answer.await.ok()
    }

    /// Sends what nobody waits for.
    pub(crate) fn send(&self, message: Message) {
        if let Self::Engine(engine) = self {
            // An engine that is gone has said so where it matters.
            let _ = engine.send(message);
        }
    }
}
