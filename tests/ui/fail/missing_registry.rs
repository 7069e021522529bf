//! Workers, and no `nq::registry!()`.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

fn main() {}
