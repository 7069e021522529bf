//! Durations are read when the macro expands.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order", timeout = "30")]
async fn no_unit(_order: OrderPlaced) {}

#[nq::worker(flow = "order", timeout = "30 parsecs")]
async fn no_such_unit(_order: OrderPlaced) {}

#[nq::worker(flow = "order", timeout = 30)]
async fn no_string(_order: OrderPlaced) {}

#[nq::worker(flow = "order", timeout = "0s")]
async fn zero(_order: OrderPlaced) {}

#[nq::worker(flow = "order", backoff = fixed("soon"))]
async fn soon(_order: OrderPlaced) {}

#[nq::worker(flow = "order", backoff = exponential("10s", max = "1s"))]
async fn shrinking(_order: OrderPlaced) {}

#[nq::worker(flow = "order", backoff = linear("10s"))]
async fn linear(_order: OrderPlaced) {}

#[nq::worker(flow = "order", backoff = "10s")]
async fn bare(_order: OrderPlaced) {}

#[nq::worker(flow = "order", backoff = fixed("10s", max = "20s"))]
async fn fixed(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
