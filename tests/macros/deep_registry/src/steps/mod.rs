//! The steps.

mod ship;

#[nq::event]
pub struct Placed {}

#[nq::event]
pub struct Payed {}

#[nq::worker(flow = "order", emits = ["paid"])]
async fn charge(_placed: Placed) {}
