//! Each option with a value that it cannot have: every one is reported, at the value.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = order, queue = "a b", retries = "3", concurrency = 0, max_crashes = 0, on_failure = "stop")]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "a/b", name = "", type = "Charge", crate = "nq", retries, 7)]
async fn pay(_order: OrderPlaced) {}

#[nq::worker(flows = "order", emits = OrderPlaced, subscribes = [], allow = ["no-timeouts", "x"])]
async fn ship(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [""], joins = 3, gathers = [1 2], by = 7)]
async fn pack(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
