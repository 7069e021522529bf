//! The results of a step's operations, as they come and as they are waited for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use nq_core::entry::data::StepEffect;
use nq_core::entry::{Entry, EntryType};
use nq_core::store::Answer;
use tokio::sync::oneshot;

/// The results of an attempt's operations, by position.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// Those that no handler has got, in the order of the timeline: what earlier attempts have recorded, then what this
    /// one has sent. The store keeps the order in which the writes of a run are sent.
    coming: VecDeque<Coming>,
    /// Those that are ready.
    ready: HashMap<String, Option<Answer>>,
    /// Who waits for one that is not.
    waiting: HashMap<String, Waker>,
    /// What polls the handler; none where nobody does, in a test that calls it: every result is ready at once then.
    handler: Option<Waker>,
    /// Whether the handler is being polled. Who polls it looks at what is coming afterwards.
    polling: bool,
}

#[derive(Debug)]
struct Coming {
    position: String,
    /// The answer to its write; none for what an earlier attempt has recorded.
    answer: Option<oneshot::Receiver<Answer>>,
}

impl Results {
    /// The results that earlier attempts have recorded, as these entries of the step say, in their order.
    pub(crate) fn recorded(own: &[Entry]) -> Self {
        let effects = own.iter().filter(|entry| entry.kind == EntryType::StepEffect);
        let recorded = effects.filter_map(|entry| entry.says::<StepEffect>().ok());
        let mut seen = HashSet::new();
        let firsts = recorded.map(|effect| effect.op).filter(|position| seen.insert(position.clone()));
        let coming = firsts.map(|position| Coming { position, answer: None }).collect();
        Self { coming, ..Self::default() }
    }

    /// Something polls the handler from now on, and brings the results.
    pub(super) fn attend(&mut self) {
        self.handler = Some(Waker::noop().clone());
    }

    /// Whether something polls the handler, and brings the results.
    pub(super) fn is_attended(&self) -> bool {
        self.handler.is_some()
    }

    /// A write of the operation at this position was sent. Gives the way to its answer back where nobody brings it.
    pub(super) fn expect(
        &mut self,
        position: &str,
        answer: oneshot::Receiver<Answer>,
    ) -> Option<oneshot::Receiver<Answer>> {
        let Some(handler) = &self.handler else { return Some(answer) };
        self.coming.push_back(Coming { position: position.to_owned(), answer: Some(answer) });
        if !self.polling {
            // It was sent by another task than that of the handler.
            handler.wake_by_ref();
        }
        None
    }

    /// Takes the result of the operation at this position if it is ready, or wakes this when it is.
    pub(super) fn take_or_wait(&mut self, position: &str, waker: &Waker) -> Poll<Option<Answer>> {
        if let Some(answer) = self.ready.remove(position) {
            return Poll::Ready(answer);
        }
        self.waiting.insert(position.to_owned(), waker.clone());
        Poll::Pending
    }

    /// Nobody waits for the result of the operation at this position any more.
    pub(super) fn forget_waiter(&mut self, position: &str) {
        self.waiting.remove(position);
    }

    /// The handler is polled now. It has been at rest since the last time: what was sent may have been answered.
    pub(super) fn begin_poll(&mut self, cx: &mut Context<'_>) {
        self.handler.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        if self.coming.front().is_some_and(|next| next.answer.is_some()) {
            self.bring_next(cx);
        }
        self.polling = true;
    }

    /// Makes the next result ready if it is known. The handler was polled, and is at rest.
    pub(super) fn bring_next(&mut self, cx: &mut Context<'_>) -> bool {
        let brought = self.bring(cx);
        self.polling = brought;
        brought
    }

    fn bring(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(next) = self.coming.front_mut() else { return false };
        let answer = match &mut next.answer {
            None => None,
            Some(answer) => match Pin::new(answer).poll(cx) {
                Poll::Ready(answer) => answer.ok(),
                Poll::Pending => return false,
            },
        };
        let Some(Coming { position, .. }) = self.coming.pop_front() else { return false };
        if let Some(waker) = self.waiting.remove(&position)
            // The handler itself is polled next in any case.
            && !waker.will_wake(cx.waker())
        {
            waker.wake();
        }
        self.ready.insert(position, answer);
        true
    }
}
