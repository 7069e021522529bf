//! An example with workers.

#[nq::event]
struct Tick {}

#[nq::worker]
async fn tick(_tick: Tick) {}

nq::registry!();

fn main() {}
