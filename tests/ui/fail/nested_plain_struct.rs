//! A plain struct as a part of an event.

struct Line {
    article: String,
}

#[nq::event]
struct OrderPlaced {
    lines: Vec<Line>,
}

#[nq::worker]
async fn place(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
