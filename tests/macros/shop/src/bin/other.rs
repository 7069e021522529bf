//! A second program of the package, with a root of its own.

#[nq::event]
struct Tick {}

#[nq::worker]
async fn tick(_tick: Tick) {}

nq::registry!();

fn main() {}
