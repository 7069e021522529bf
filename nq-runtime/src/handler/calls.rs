//! Calls of workers: makes a function of a step from a worker and the functions that make its parameters.
#![expect(non_snake_case, reason = "each parameter is named like its type")]
#![expect(clippy::too_many_arguments, reason = "only expansions call these")]

use std::future::Future;

use serde_json::Value;

use super::erased::Called;
use crate::error::Error;
use crate::step::Step;

/// How a parameter is made from the step.
pub type Make<T> = fn(&Step) -> Result<T, Error>;

// One function for each number of parameters. The expansion only names it, with functions that make what the
// worker takes and keep what it returns: that costs rustc less, for each worker, than a body of its own.
macro_rules! calls {
    ($($call:ident($($parameter:ident)*);)*) => { $(
        /// The call of a worker with so many parameters after its input.
        pub const fn $call<I: 'static, $($parameter: 'static,)* O: 'static, F, C>(
            input: Make<I>,
            $($parameter: Make<$parameter>,)*
            outcome: fn(O) -> Result<Value, Error>,
            worker: F,
        ) -> impl Fn(Step) -> Called + Send + Sync
        where
            F: Fn(I, $($parameter),*) -> C + Copy + Send + Sync + 'static,
            C: Future<Output = O> + Send,
        {
            move |step| {
                Box::pin(async move {
                    let called = worker(input(&step)?, $($parameter(&step)?),*);
                    outcome(called.await)
                })
            }
        }
    )* };
}
calls! {
    call0();
    call1(A);
    call2(A B);
    call3(A B D);
    call4(A B D E);
    call5(A B D E G);
    call6(A B D E G H);
    call7(A B D E G H J);
    call8(A B D E G H J K);
    call9(A B D E G H J K L);
    call10(A B D E G H J K L M);
    call11(A B D E G H J K L M N);
    call12(A B D E G H J K L M N P);
}
