//! Nothing emits what a worker subscribes to; the name is almost right.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct OrderPayed {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(OrderPaid {})?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [OrderPayed])]
async fn ship(_paid: OrderPayed) -> nq::Result<()> {
    Ok(())
}

nq::registry!();

fn main() {}
