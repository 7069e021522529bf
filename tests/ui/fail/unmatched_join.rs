//! One side of a join never arrives.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct StockReserved {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", joins = [OrderPaid, StockReserved])]
async fn ship((_paid, _reserved): (OrderPaid, StockReserved)) {}

nq::registry!();

fn main() {}
