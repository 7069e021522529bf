//! A file below it, with the macro imported, and a condition on a worker.

use nq::worker as job;

use super::{Paid, Placed};

#[job(flow = "order", emits = [Paid])]
async fn charge(placed: Placed, ctx: nq::Ctx<charge>) -> nq::Result<u64> {
    ctx.emit(Paid { order: placed.order })?;
    Ok(placed.order)
}

#[cfg(feature = "gifts")]
#[job(flow = "gift")]
async fn wrap(_placed: Placed) {}

#[job(flow = "gift")]
#[cfg(feature = "gifts")]
async fn wrap_again(_placed: Placed) {}

#[cfg_attr(not(feature = "gifts"), job(flow = "no_gift"))]
async fn leave(_placed: Placed) {}
