//! Two types of one name as arguments of a generic event: the two events would have one name.

mod shop {
    #[nq::data]
    pub(crate) struct Line {}
}
mod bill {
    #[nq::data]
    pub(crate) struct Line {}
}

#[nq::event]
struct Envelope<T> {
    inner: T,
}

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order", emits = [Envelope<shop::Line>, Envelope<bill::Line>])]
async fn place(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
