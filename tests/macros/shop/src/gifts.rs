//! Only with the feature `gifts`; without it, no trace of it may be left.

compile_error!("the feature `gifts` is off");

#[nq::worker(flow = "gift")]
async fn wrap(_placed: crate::orders::OrderPlaced) {}
