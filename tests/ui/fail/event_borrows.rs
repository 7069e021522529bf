//! An event that borrows, and a worker that borrows its input.

#[nq::event]
struct OrderPlaced<'a> {
    customer: &'a str,
}

#[nq::event]
struct OrderPaid {}

#[nq::worker]
async fn place(_order: OrderPlaced<'_>) {}

#[nq::worker]
async fn pay(_paid: &OrderPaid) {}

nq::registry!();

fn main() {}
