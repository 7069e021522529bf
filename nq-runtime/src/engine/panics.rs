//! Catches panics of the program's code, with their message and place.
//!
//! Only the panic hook learns the place, and there is one hook for the whole program. So the first instance that starts
//! installs a hook. It notes the place of a panic in the code of an attempt, and then calls the program's own hook, as for
//! any other panic. If the program sets another hook later, that replaces this one, and errors name no place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use nq_core::limits;

thread_local! {
    /// Whether this thread runs code of an attempt.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// The file, line and column of the last panic in it.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook that notes the places of panics.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    // A thread that panics cannot change the hook, and such a thread may start an instance in a `Drop`.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let program = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note(panic);
            program(panic);
        }));
    });
}

/// Notes the place of a panic. A thread that ends may have no notes any more.
fn note(panic: &PanicHookInfo<'_>) {
    if WATCHED.try_with(Cell::get).unwrap_or_default() {
        let place = panic.location().map(ToString::to_string);
        let _ = PLACE.try_with(|noted| noted.try_borrow_mut().map(|mut noted| *noted = place));
    }
}

/// Runs code of the program. An error is the message and the place of its panic.
pub(super) fn quietly<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let before = WATCHED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(act));
    WATCHED.set(before);
    // The place is cleared after a success, too: the program may have caught a panic, which the next one must not name.
    let place = PLACE.take();
    done.map_err(|panic| match place {
        Some(place) => format!("{}, at {place}", panic_text(panic)),
        None => panic_text(panic),
    })
}

/// A future of the program, whose panics are caught in each poll.
pub(super) struct Quiet<F>(Pin<Box<F>>);

impl<F: Future> Quiet<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Quiet<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match quietly(|| self.0.as_mut().poll(context)) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// The message of a panic.
pub(super) fn panic_text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.map(limits::cut);
    // The payload is a value of the program, and its drop may panic, too. The payload of that second panic is leaked.
    match catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        Ok(()) => text.unwrap_or_else(|| "without a message".into()),
        Err(again) => {
            std::mem::forget(again);
            let text = text.unwrap_or_else(|| "without a message".into());
            format!("{text} (and what it carried panicked when it was dropped)")
        }
    }
}
