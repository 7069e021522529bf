//! What a worker waits for, and its name.

use nq::prelude::*;

#[nq::event]
pub struct OrderPlaced {}
#[nq::event]
pub struct OrderPaid {}
#[nq::event]
pub struct OrderPayed {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(OrderPaid {})?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [OrderPayed], name = "charge")]
async fn ship(_paid: OrderPayed) {}

nq::registry!();

fn main() {}
