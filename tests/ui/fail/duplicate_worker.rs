//! Two workers with one name in a flow; the same name in another flow is fine.

#[nq::event]
struct OrderPlaced {}

mod billing {
    #[nq::worker(flow = "order")]
    async fn charge(_order: super::OrderPlaced) {}
}

mod shop {
    #[nq::worker(flow = "order")]
    async fn charge(_order: super::OrderPlaced) {}

    #[nq::worker(flow = "order", name = "charge")]
    async fn pay(_order: super::OrderPlaced) {}

    #[nq::worker(flow = "refund", name = "charge")]
    async fn refund(_order: super::OrderPlaced) {}
}

nq::registry!();

fn main() {}
