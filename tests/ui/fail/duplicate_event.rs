//! Two event types with one name.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

mod old {
    #[nq::event]
    pub struct OrderPaid {}
}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [old::OrderPaid])]
async fn ship(_paid: old::OrderPaid) {}

nq::registry!();

fn main() {}
