//! Unknown options: with a suggestion where one is near. What was meant is understood, so nothing cascades.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", retires = 3, emit = [OrderPaid], colour = "red")]
async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(OrderPaid {})?;
    Ok(())
}

nq::registry!();

fn main() {}
