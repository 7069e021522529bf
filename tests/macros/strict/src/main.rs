//! The expansion under the strictest lints, with the names of the prelude shadowed.

#![deny(warnings, missing_docs, unreachable_pub, unused, rust_2018_idioms, missing_debug_implementations)]
#![deny(missing_copy_implementations, unnameable_types, unused_qualifications, single_use_lifetimes)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

pub mod steps;

nq::registry!();

fn main() {}
