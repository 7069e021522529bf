//! A worker emits what it does not declare.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(OrderPaid {})?;
    Ok(())
}

nq::registry!();

fn main() {}
