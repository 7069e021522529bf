//! `subscribes`, `joins` and `gathers` do not combine, and joins need two sides.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid], gathers = [OrderPaid])]
async fn both(_paid: OrderPaid) {}

#[nq::worker(flow = "order", joins = [OrderPaid])]
async fn alone(_paid: (OrderPaid,)) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid], by = "order")]
async fn by(_paid: OrderPaid) {}

nq::registry!();

fn main() {}
