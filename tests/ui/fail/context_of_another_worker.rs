//! A copied signature: the context of another worker.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced, _ctx: Ctx<charge>) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid, _ctx: Ctx<charge>) {}

nq::registry!();

fn main() {}
