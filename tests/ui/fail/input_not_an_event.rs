//! An entry starts with an event: what is none has no name and no schema.

use nq::prelude::*;

struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order")]
async fn forgot(_ctx: Ctx<forgot>) {}

nq::registry!();

fn main() {}
