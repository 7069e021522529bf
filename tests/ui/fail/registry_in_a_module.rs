//! The registry stands in the crate root.

#[nq::event]
struct OrderPlaced {}

mod steps {
    nq::registry!();

    #[nq::worker(flow = "order")]
    async fn charge(_order: super::OrderPlaced) {}
}

fn main() {}
