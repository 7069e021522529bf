//! Workers in an `impl` and in a `trait`: methods and associated functions.

#[nq::event]
struct OrderPlaced {}

struct Shop;

impl Shop {
    #[nq::worker(flow = "order")]
    async fn method(&self, _order: OrderPlaced, ctx: nq::Ctx<method>) {
        drop(ctx);
    }

    #[nq::worker(flow = "order")]
    pub(crate) async fn associated(order: OrderPlaced, _ctx: nq::Ctx<associated>) -> nq::Result<()> {
        drop(order);
        Ok(())
    }
}

trait Sells {
    #[nq::worker(flow = "order")]
    async fn sell(_order: OrderPlaced) {}
}

nq::registry!();

fn main() {
    drop(Shop::associated(1, 2));
}
