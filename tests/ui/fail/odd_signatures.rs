//! Functions that look as if they could be workers.

use nq::prelude::*;

#[nq::event]
struct OrderPlaced {}

#[nq::worker]
async extern "C" fn foreign(_order: OrderPlaced) {}

#[nq::worker]
async fn sized<const N: usize>(_order: OrderPlaced) {}

#[nq::worker]
async fn borrowing<'a>(_order: OrderPlaced, _name: &'a str) {}

#[nq::worker]
async fn reference(_order: OrderPlaced, _ctx: &Ctx<reference>) {}

#[nq::worker]
async fn some(_order: impl Into<OrderPlaced>) {}

#[nq::worker]
async fn any(_order: OrderPlaced, _bank: impl Send) {}

#[nq::worker]
async fn never(_order: OrderPlaced) -> impl Send {}

nq::registry!();

fn main() {}
