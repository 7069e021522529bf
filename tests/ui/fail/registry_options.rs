//! Mistakes in the arguments of `registry!`.

nq::registry!(includes = [shipping]);

fn main() {}
