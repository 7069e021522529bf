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

nq::registry!();

fn main() {
    #[nq::worker(flow = "order")]
    async fn ship(_order: OrderPlaced) {}
}
