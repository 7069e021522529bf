//! Compares two JSON Schemas by meaning: does the new one take every payload that the old one took?

mod disjoint;
mod lower;
mod narrow;
mod ranges;
#[cfg(test)]
mod tests;

pub(super) use disjoint::never_equal;
pub(super) use narrow::narrowings;
pub use ranges::ranges;
