//! The input of a join is a tuple of its sides, in the order of the attribute.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct StockReserved {}

#[nq::worker(flow = "order", emits = [OrderPaid, StockReserved])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", joins = [OrderPaid, StockReserved])]
async fn ship((_reserved, _paid): (StockReserved, OrderPaid)) {}

nq::registry!();

fn main() {}
