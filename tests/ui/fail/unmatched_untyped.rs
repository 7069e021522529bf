//! An untyped event takes part in the same checks, by its name.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order", emits = ["order.paid"])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = ["order.piad"])]
async fn ship(_paid: nq::Json) {}

nq::registry!();

fn main() {}
