//! The first version of a program that a test deploys over another: `v1 <url> <folder>`. It starts the runs, and holds
//! most of their steps until the file `go` lies in the folder.

#[path = "work.rs"]
mod work;

use std::path::PathBuf;

use nq::prelude::*;
use work::until_there;

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

#[nq::worker(flow = "shop", subscribes = [Item], emits = [Priced])]
async fn price(item: Item, ctx: Ctx<price>, folder: Data<PathBuf>) -> nq::Result<()> {
    let by = ctx.run("look up", || async { nq::Ok(format!("v1 {}", ctx.idempotency_key())) }).await?;
    if item.id > 0 {
        until_there(&folder.join("go")).await;
    }
    ctx.emit(Priced { by })?;
    Ok(())
}

#[nq::worker(flow = "shop", gathers = [Priced])]
async fn total(all: Vec<Priced>) -> nq::Result<Vec<String>> {
    Ok(all.into_iter().map(|priced| priced.by).collect())
}

#[nq::event]
struct Form {
    name: String,
}

#[nq::worker(flow = "form", retries = 0)]
async fn read(form: Form, folder: Data<PathBuf>) -> nq::Result<String> {
    until_there(&folder.join("go")).await;
    Ok(format!("v1 {}", form.name))
}

#[nq::worker(flow = "fax")]
async fn send(_form: Form, folder: Data<PathBuf>) {
    until_there(&folder.join("go")).await;
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

#[nq::worker(flow = "pair", joins = [Left, Right], retries = 0)]
async fn pair((left, right): (Left, Right), folder: Data<PathBuf>) -> nq::Result<String> {
    until_there(&folder.join("go")).await;
    Ok(format!("{}, {}", left.name, right.name))
}

#[nq::event]
struct Bill {
    name: String,
}

#[nq::worker(flow = "bill", retries = 0)]
async fn charge(bill: Bill, ctx: Ctx<charge>) -> nq::Result<String> {
    ctx.run("charge", || async { nq::Ok(format!("v1 {} {}", bill.name, ctx.idempotency_key())) }).await?;
    Err(nq::Error::msg("no receipt"))
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = work::open().await?;
    let form = || Form { name: "Ada".into() };
    nq.start::<place>(Order { items: 3 }).id("order").await?;
    nq.start::<read>(form()).id("form").await?;
    nq.start::<send>(form()).id("fax").await?;
    nq.start::<deal>(form()).id("pair").await?;
    nq.start::<charge>(Bill { name: "Ada".into() }).id("bill").await?;
    work::until_interrupted(nq).await
}
