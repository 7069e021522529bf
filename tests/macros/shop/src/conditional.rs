//! A file by a conditional `#[path]`.

#[nq::worker(flow = "conditional")]
async fn far(_placed: crate::orders::OrderPlaced) {}
