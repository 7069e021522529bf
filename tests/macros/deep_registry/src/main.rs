//! An error in a file is shown in that file.

mod steps;

nq::registry!();

fn main() {}
