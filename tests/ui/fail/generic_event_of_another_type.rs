//! A generic event is one event for each set of arguments.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct Envelope<T> {
    inner: T,
}

#[nq::event]
struct Batch<const N: usize> {
    items: Vec<u32>,
}

#[nq::worker(flow = "order", emits = [Envelope<String>, Envelope<OrderPlaced>, Batch<3>])]
async fn place(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [Envelope<OrderPlaced>])]
async fn fine(_placed: Envelope<OrderPlaced>) {}

#[nq::worker(flow = "order", subscribes = [Envelope<u32>])]
async fn numbers(_number: Envelope<u32>) {}

#[nq::worker(flow = "order", subscribes = [Batch<4>])]
async fn fours(_batch: Batch<4>) {}

nq::registry!();

fn main() {}
