//! Raw identifiers, as a module and as a worker.

use crate::orders::OrderPlaced;

#[nq::worker(flow = "raw")]
async fn r#type(_placed: OrderPlaced, _ctx: nq::Ctx<r#type>) {}
