//! The child.

#[nq::worker(flow = "paths")]
async fn near(_placed: crate::orders::OrderPlaced) {}
