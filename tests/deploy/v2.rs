//! The second version of the program of `v1.rs`: `price` and `total` have other names, `audit` is new, `Form` has a
//! field more, the sides of `pair` are in another order, and `send` is gone. `invoice` was `charge`, which fails in the
//! first version: its run is rerun.

#[path = "work.rs"]
mod work;

use nq::prelude::*;

#[nq::event]
struct Order {
    items: u32,
}
#[nq::event]
struct Item {
    id: u32,
}
#[nq::event]
struct Priced {
    by: String,
}

#[nq::worker(flow = "shop", emits = [Item])]
async fn place(order: Order, ctx: Ctx<place>) -> nq::Result<()> {
    for id in 0..order.items {
        ctx.emit(Item { id })?;
    }
    Ok(())
}

#[nq::worker(flow = "shop", was = ["price"], subscribes = [Item], emits = [Priced])]
async fn quote(item: Item, ctx: Ctx<quote>) -> nq::Result<()> {
    let by = ctx.run("look up", || async { nq::Ok(format!("v2 {}", item.id)) }).await?;
    ctx.emit(Priced { by })?;
    Ok(())
}

#[nq::worker(flow = "shop", was = ["total"], gathers = [Priced])]
async fn sum(all: Vec<Priced>) -> nq::Result<Vec<String>> {
    Ok(all.into_iter().map(|priced| priced.by).collect())
}

#[nq::worker(flow = "shop", gathers = [Priced])]
async fn audit(all: Vec<Priced>) -> nq::Result<usize> {
    Ok(all.len())
}

#[nq::event]
struct Form {
    name: String,
    mail: String,
}

#[nq::worker(flow = "form", retries = 0)]
async fn read(form: Form) -> nq::Result<String> {
    Ok(format!("v2 {} {}", form.name, form.mail))
}

#[nq::event]
struct Left {
    name: String,
}
#[nq::event]
struct Right {
    name: String,
}

#[nq::worker(flow = "pair", emits = [Left, Right])]
async fn deal(form: Form, ctx: Ctx<deal>) -> nq::Result<()> {
    ctx.emit(Left { name: format!("left {}", form.name) })?;
    ctx.emit(Right { name: format!("right {}", form.name) })?;
    Ok(())
}

#[nq::worker(flow = "pair", joins = [Right, Left], retries = 0)]
async fn pair((right, left): (Right, Left)) -> nq::Result<String> {
    Ok(format!("{}, {}", left.name, right.name))
}

#[nq::event]
struct Bill {
    name: String,
}

#[nq::worker(flow = "bill", was = ["charge"])]
async fn invoice(bill: Bill, ctx: Ctx<invoice>) -> nq::Result<String> {
    let charged: String = ctx.run("charge", || async { nq::Ok(format!("v2 {}", bill.name)) }).await?;
    assert!(charged.ends_with(&ctx.idempotency_key()), "the key is another");
    Ok(charged)
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = work::open().await?;
    nq.run("bill")?.rerun().await?;
    work::until_interrupted(nq).await
}
