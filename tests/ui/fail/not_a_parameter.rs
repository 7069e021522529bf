//! A parameter that nothing can be made into.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced, _bank: u32) {}

nq::registry!();

fn main() {}
