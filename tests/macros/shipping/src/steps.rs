//! Its worker, in a private module.

use crate::events::{OrderPaid, OrderSent};

#[nq::worker(flow = "order", subscribes = [OrderPaid], emits = [OrderSent])]
async fn ship(paid: OrderPaid, ctx: nq::Ctx<ship>) -> nq::Result<()> {
    ctx.emit(OrderSent { order: paid.order })?;
    Ok(())
}
