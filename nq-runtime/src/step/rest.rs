//! The results of a step's operations become ready one at a time, in the order of the timeline, and each only once the
//! handler is at rest, which means that it was polled and waits. So a handler that races results (`select!`, `join!`,
//! `FuturesUnordered`) goes the same way on every attempt: neither the moment at which an answer comes nor which of two
//! futures is polled first decides, but the timeline alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{MutexGuard, PoisonError};
use std::task::{Context, Poll};

use nq_core::store::Answer;
use nq_core::transaction::Transaction;

use super::Step;
use super::results::Results;

impl Step {
    fn results(&self) -> MutexGuard<'_, Results> {
        // Each statement leaves them whole, so a panic elsewhere does not spoil them.
        self.inner.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it is the turn of a result that an earlier attempt has recorded.
    pub(crate) async fn turn_of(&self, position: &str) {
        if self.results().is_attended() {
            Turn { step: self, position }.await;
        }
    }

    /// Sends the write of an operation, and returns its answer when it is its turn; none if the engine is gone.
    pub(super) async fn answer_to(&self, position: &str, tx: Transaction, bytes: usize) -> Option<Answer> {
        let unattended = {
            let mut results = self.results();
            // While they are held, so that they come in the order in which they are sent.
            let answer = self.inner.link.write(tx, bytes)?;
            results.expect(position, answer)
        };
        match unattended {
            Some(answer) => answer.await.ok(),
            None => Turn { step: self, position }.await,
        }
    }
}

/// Waits until the result at a position is ready.
struct Turn<'a> {
    step: &'a Step,
    position: &'a str,
}

impl Future for Turn<'_> {
    type Output = Option<Answer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.step.results().take_or_wait(self.position, cx.waker())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.step.results().forget_waiter(self.position);
    }
}

/// A handler, which gets the results of its operations as this module says.
pub(crate) struct Resting<F> {
    step: Step,
    handler: F,
}

impl<F> Resting<F> {
    pub(crate) fn new(step: Step, handler: F) -> Self {
        step.results().attend();
        Self { step, handler }
    }
}

impl<F: Future + Unpin> Future for Resting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.step.results().begin_poll(cx);
        loop {
            if let Poll::Ready(output) = Pin::new(&mut this.handler).poll(cx) {
                return Poll::Ready(output);
            }
            if !this.step.results().bring_next(cx) {
                return Poll::Pending;
            }
        }
    }
}
