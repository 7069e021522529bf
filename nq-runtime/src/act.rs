//! The acts of `ctx.run` that run on this thread now. An operation inside of an act would be missing from later attempts,
//! which do not run the act again. So each operation asks here whether it is inside of an act, and is refused if it is.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

thread_local! {
    /// The acts that are being called or polled, the innermost last.
    static RUNNING: RefCell<Vec<Arc<Act>>> = const { RefCell::new(Vec::new()) };
}

/// Identifies a step among those that a process runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepAddress(usize);

impl StepAddress {
    /// The address of this step.
    pub(crate) fn of<T>(step: &Arc<T>) -> Self {
        Self(Arc::as_ptr(step).addr())
    }
}

struct Act {
    step: StepAddress,
    position: String,
    name: String,
}

/// An act is being called or polled for as long as this lives.
struct Entered;

impl Entered {
    fn new(act: &Arc<Act>) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(act.clone()));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

/// Calls an act and awaits it. Other branches of the handler may do operations in between: only what runs inside of
/// the call and of each poll belongs to the act.
pub(crate) async fn run<F: Future>(
    step: StepAddress,
    position: &str,
    name: &str,
    act: impl FnOnce() -> F,
) -> F::Output {
    let running = Arc::new(Act { step, position: position.to_owned(), name: name.to_owned() });
    let called = {
        let _entered = Entered::new(&running);
        act()
    };
    let mut called = pin!(called);
    poll_fn(|context| {
        let _entered = Entered::new(&running);
        called.as_mut().poll(context)
    })
    .await
}

/// The position and name of the act of this step that is being called or polled on this thread.
pub(crate) fn running(step: StepAddress) -> Option<(String, String)> {
    RUNNING.with_borrow(|running| {
        let act = running.iter().rev().find(|act| act.step == step)?;
        Some((act.position.clone(), act.name.clone()))
    })
}
