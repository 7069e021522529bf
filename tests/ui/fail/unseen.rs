//! Workers that the registry cannot see.

#[nq::event]
struct OrderPlaced {}

macro_rules! make {
    ($name:ident) => {
        #[nq::worker(flow = "order")]
        async fn $name(_order: OrderPlaced) {}
    };
}
make!(charge);

#[nq::worker(flow = "order")]
async fn pack(_order: OrderPlaced) {}

nq::registry!();

fn main() {
    #[nq::worker(flow = "order")]
    async fn ship(_order: OrderPlaced) {}

    // That the registry sees one of this name makes it no better.
    #[nq::worker(flow = "order")]
    async fn pack(_order: OrderPlaced) {}
}
