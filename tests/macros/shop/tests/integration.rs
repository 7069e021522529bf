//! A test of the package with workers of its own, and the library's.

#[nq::event]
struct Tick {}

#[nq::worker(flow = "order", emits = [shipping::events::OrderPaid])]
async fn pay(_tick: Tick) {}

nq::registry!(include = [shipping]);
