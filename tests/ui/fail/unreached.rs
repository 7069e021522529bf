//! Workers that wait for each other, and one that waits for them: one error.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct Ping {}

#[nq::event]
struct Pong {}

#[nq::event]
struct Score {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [Ping], emits = [Pong])]
async fn reply(_ping: Ping) {}

#[nq::worker(flow = "order", subscribes = [Pong], emits = [Ping, Score])]
async fn ask(_pong: Pong) {}

#[nq::worker(flow = "order", subscribes = [Score])]
async fn keep(_score: Score) {}

nq::registry!();

fn main() {}
