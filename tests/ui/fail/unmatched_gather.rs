//! Nothing emits what a worker gathers.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct LinePriced {}

#[nq::worker(flow = "order")]
async fn split(_order: OrderPlaced) {}

#[nq::worker(flow = "order", gathers = [LinePriced])]
async fn total(_lines: Vec<LinePriced>) {}

nq::registry!();

fn main() {}
