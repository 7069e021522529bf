//! A misspelled flow: one error, at the flow, though nothing in it is wired.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "ordre", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
