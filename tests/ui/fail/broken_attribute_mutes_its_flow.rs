//! While the wiring of one worker is in doubt, its flow's graph checks keep silent; other flows are checked.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [Order Paid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

#[nq::worker(flow = "gift", subscribes = [OrderPaid])]
async fn wrap(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
