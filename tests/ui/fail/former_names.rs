//! Former names: each once, and none that another worker has or had.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", was = ["charge"])]
async fn bill(_order: OrderPlaced) {}

#[nq::worker(flow = "order", was = ["send"])]
async fn ship(_order: OrderPlaced) {}

#[nq::worker(flow = "order", was = ["order/send"])]
async fn post(_order: OrderPlaced) {}

#[nq::worker(flow = "order", was = ["pack"])]
async fn pack(_order: OrderPlaced) {}

#[nq::worker(flows = ["gift", "order"], was = ["gift/wrap", "old/wrap"])]
async fn box_up(_order: OrderPlaced) {}

#[nq::worker(flow = "order", was = ["weigh", "weigh", "w eigh"])]
async fn scale(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
