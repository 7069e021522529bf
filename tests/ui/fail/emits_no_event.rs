//! A type in `emits` that is no event.

#[nq::event]
struct OrderPlaced {}

struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
