//! Types in `emits` and `subscribes` that are no events, or do not exist: one error for each.

#[nq::event]
struct OrderPlaced {}

struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid, OrderSent])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
