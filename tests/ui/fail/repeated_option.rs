//! Options that are set twice, and lists that say a thing twice.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", retries = 3, emits = [OrderPaid, OrderPaid], retries = 5)]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", flows = ["order", "gift", "gift"])]
async fn give(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = ["order.paid", "order.paid"])]
async fn ship(_paid: nq::Json) {}

nq::registry!();

fn main() {}
