//! The event is emitted, but in another flow: events stay in the flow of their run.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct RefundAsked {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "refund")]
async fn ask(_asked: RefundAsked) {}

#[nq::worker(flow = "refund", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
