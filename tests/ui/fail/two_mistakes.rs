//! Two mistakes give two errors, and each is reported once, whatever finds it.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::event]
struct OrderSent {}

#[nq::worker(flow = "order", emits = [OrderPaid], timeout = "soon")]
async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(OrderSent {})?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [OrderSent])]
async fn ship(_sent: OrderSent) {}

nq::registry!();

fn main() {}
