//! A worker without a flow is a flow of its own, under its name.

#[nq::event]
struct OrderPlaced {}

#[nq::worker]
async fn order(_order: OrderPlaced) {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
