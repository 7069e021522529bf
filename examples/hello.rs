//! The smallest flow: an entry, an event, and a step that follows.

use nq::prelude::*;

#[nq::event]
struct Guest {
    name: String,
}

#[nq::event]
struct Greeted {
    line: String,
}

#[nq::worker(flow = "hello", emits = [Greeted])]
async fn greet(guest: Guest, ctx: Ctx<greet>) -> nq::Result<()> {
    let line = format!("hello, {}", guest.name);
    ctx.emit(Greeted { line })?;
    Ok(())
}

#[nq::worker(flow = "hello", subscribes = [Greeted], retries = 5, timeout = "10s")]
async fn shout(greeted: Greeted) -> nq::Result<String> {
    Ok(greeted.line.to_uppercase())
}

nq::registry!(); // rustc proves here that the flow is wired

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("memory:").await?.start().await?;
    let run = nq.start::<greet>(Guest { name: "world".into() }).await?;
    println!("{:?}", run.completed().await?.result::<String>()?);
    nq.shutdown().await?;
    Ok(())
}
