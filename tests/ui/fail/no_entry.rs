//! A flow that nothing starts.

#[nq::event]
struct Ping {}

#[nq::event]
struct Pong {}

#[nq::worker(flow = "echo", subscribes = [Ping], emits = [Pong])]
async fn reply(_ping: Ping) {}

#[nq::worker(flow = "echo", subscribes = [Pong], emits = [Ping])]
async fn ask(_pong: Pong) {}

nq::registry!();

fn main() {}
