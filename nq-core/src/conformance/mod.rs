//! The suite that proves a store: one test for each promise of [`crate::store::Store`].
//!
//! Whoever writes a store, in this repository or elsewhere, takes `nq-core` as a development dependency
//! with the feature `conformance`, says how an empty store is made, and gets one test a case; a case that
//! is added here reaches every store by itself:
//!
//! ```
//! use std::sync::Arc;
//!
//! use nq_core::conformance::Subject;
//! use nq_core::store::{Store, StoreError};
//!
//! # mod my_store {
//! #     use super::*;
//! #     pub async fn open(_: &str) -> Result<Arc<dyn Store>, StoreError> {
//! #         Err(StoreError::new(nq_core::store::ErrorKind::Config, "open", "only an example"))
//! #     }
//! # }
//! # fn name_of_its_own() -> String { String::new() }
//! /// An empty store for a case, which can be opened again on what it keeps.
//! async fn fresh() -> Subject {
//!     let url = format!("mine://localhost/{}", name_of_its_own());
//!     let open = move || {
//!         let url = url.clone();
//!         async move { my_store::open(&url).await.expect("the store opens") }
//!     };
//!     Subject::real(open().await).reopen(open)
//! }
//!
//! mod keeps_the_contract {
//!     use super::fresh;
//!
//! # /*
//!     nq_core::conformance! { test = #[tokio::test], subject = fresh().await }
//! # */
//! # // There is no runtime in this crate: the cases are compiled, under an attribute that means nothing here.
//! # nq_core::conformance! { test = #[inline], subject = fresh().await }
//! }
//! # fn main() {}
//! ```
//!
//! `test` is the test attribute of your runtime; `subject` is evaluated anew for each case, within an `async fn`. A
//! [`Subject`] is a store, with the things that a test may do to it beyond the contract: move its clock, open it again,
//! and damage what it keeps. If a subject cannot do one of these, the cases that need it do nothing. Cases that need time
//! take about half a second with a real clock.
//!
//! The suite sends every call again that fails with [`crate::store::ErrorKind::Unavailable`]. So it also runs
//! against a store that loses calls and replies on purpose ([`Subject::lossy`]), and then proves that sending
//! again is safe.

#![allow(clippy::unwrap_used, reason = "a case that panics has failed, as it should")]

mod build;
mod cases;
mod fixture;
mod subject;

pub use self::cases::run;
pub use self::subject::{Stored, Subject, TestClock};

/// Expands to one test for each case of the suite; see [the module](mod@crate::conformance).
#[macro_export]
macro_rules! conformance {
    (test = #[$test:meta], subject = $subject:expr $(,)?) => {
        $crate::__conformance_cases! { [$crate::__conformance_tests] [$test] [$subject] }
    };
}

/// Makes the tests of every topic.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($test:tt $subject:tt $($topic:ident $cases:tt)*) => {
        $($crate::__conformance_topic! { $test $subject $topic $cases })*
    };
}

/// Makes the tests of one topic.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_topic {
    ([$test:meta] [$subject:expr] $topic:ident { $($case:ident)* }) => {
        mod $topic {
            #[allow(unused_imports, reason = "the subject may be made by something from outside")]
            use super::*;

            $(
                #[$test]
                async fn $case() {
                    $crate::conformance::run::$topic::$case($subject).await;
                }
            )*
        }
    };
}
