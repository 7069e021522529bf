//! What a run starts with goes to its entry only; nothing emits it.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPlaced])]
async fn announce(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
