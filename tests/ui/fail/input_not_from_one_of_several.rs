//! The input of a worker can be made from one of its events, not from the other.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct OrderGiven {}

#[nq::input]
enum Ready {
    Paid(OrderPaid),
}

#[nq::worker(flow = "order", emits = [OrderPaid, OrderGiven])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid, OrderGiven])]
async fn ship(_ready: Ready) {}

nq::registry!();

fn main() {}
