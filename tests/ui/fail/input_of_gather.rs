//! The input of a gather is a `Vec`.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct LinePriced {}

#[nq::worker(flow = "order", emits = [LinePriced])]
async fn split(_order: OrderPlaced) {}

#[nq::worker(flow = "order", gathers = [LinePriced])]
async fn total(_line: LinePriced) {}

#[nq::worker(flow = "order", gathers = [LinePriced])]
async fn sum(_lines: Vec<u32>) {}

nq::registry!();

fn main() {}
