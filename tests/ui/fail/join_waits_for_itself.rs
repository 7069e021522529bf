//! A side of a join comes only from what the join itself leads to.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct OrderSent {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", joins = [OrderPaid, OrderSent], emits = [OrderSent])]
async fn ship(_both: (OrderPaid, OrderSent)) {}

nq::registry!();

fn main() {}
