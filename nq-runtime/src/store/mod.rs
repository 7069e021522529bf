//! The stores: one folder each, with the same file names, so that knowing one is knowing all.

mod clock;
pub mod faulty;
pub mod hints;
pub mod memory;

pub use nq_core::store::*;
