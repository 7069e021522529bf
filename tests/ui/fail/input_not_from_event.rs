//! The input of a worker cannot be made from what it subscribes to.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid])]
async fn ship(_placed: OrderPlaced) {}

nq::registry!();

fn main() {}
