//! A gather waits until no step is left that could lead to its event; here it is such a step itself.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct LinePriced {}

#[nq::event]
struct Recount {}

#[nq::worker(flow = "order", emits = [LinePriced])]
async fn split(_order: OrderPlaced) {}

#[nq::worker(flow = "order", gathers = [LinePriced], emits = [Recount])]
async fn total(_lines: Vec<LinePriced>) {}

#[nq::worker(flow = "order", subscribes = [Recount], emits = [LinePriced])]
async fn price(_recount: Recount) {}

nq::registry!();

fn main() {}
