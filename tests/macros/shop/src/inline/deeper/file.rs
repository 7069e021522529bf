//! A file below inline modules.

#[nq::worker(flow = "deeper")]
async fn file(_placed: crate::orders::OrderPlaced) {}
