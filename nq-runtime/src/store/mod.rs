//! The stores: one folder each, with the same file names, so that knowing one is knowing all.

mod clock;
pub mod hints;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use nq_core::store::*;
