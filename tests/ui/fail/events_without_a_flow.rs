//! A worker without a flow is a plain queue worker: no event leads to it or comes from it.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
