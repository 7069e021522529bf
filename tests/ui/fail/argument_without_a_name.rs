//! The argument of a generic event is a type that nq knows no name of.

#[nq::event]
struct Envelope<T> {
    inner: T,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Line {}

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order", emits = [Envelope<Line>])]
async fn place(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
