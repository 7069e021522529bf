//! Workers where the usual names mean other things.

/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Result;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Option;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Box;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct String;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Vec;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Ok;
/// Not the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Some;
/// Not the usual one.
pub trait Send {}
/// Not the usual one.
pub trait Event {}
/// Not the usual one.
pub trait Worker {}

#[nq::event]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) order: u64,
}

#[nq::event]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paid {
    pub(crate) order: u64,
}

/// A public worker over events of the crate.
#[nq::worker(
    flow = "order", emits = [Paid], retries = 5, timeout = "30s", concurrency = 8, max_crashes = 2,
    backoff = exponential("1s", max = "5m"), on_failure = "continue", queue = "money", name = "pay", type = Charge,
)]
pub(crate) async fn charge(placed: Placed, ctx: nq::Ctx<Charge>) -> nq::Result<u64> {
    ctx.emit(Paid { order: placed.order })?;
    nq::Ok(placed.order)
}

/// It gathers, and does not await.
#[nq::worker(flow = "order", gathers = [Paid], backoff = fixed("10s"))]
pub(crate) async fn close(paid: std::vec::Vec<Paid>) {
    drop(paid);
}
