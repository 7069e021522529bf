//! Helpers for tests of programs: a context and a client to call a worker with, the events that it emitted, and with the
//! feature `testing` a store that fails on purpose.
//!
//! [`Ctx::for_test`](crate::ctx::Ctx::for_test), [`Ctx::test`](crate::ctx::Ctx::test),
//! [`Ctx::emitted`](crate::ctx::Ctx::emitted) and [`Client::for_test`](crate::client::Client::for_test) need no feature,
//! so that a test of a worker needs no line in `Cargo.toml`.

mod client;
mod context;
#[cfg(feature = "testing")]
mod faulty;

pub use self::context::TestCtx;
#[cfg(feature = "testing")]
pub use self::faulty::{Fault, Faulty, Plan};
