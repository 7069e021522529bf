//! Functions that cannot be workers.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
fn not_async(_order: OrderPlaced) {}

#[nq::worker(flow = "order")]
async fn no_input() {}

#[nq::worker(flow = "order")]
async fn generic<T>(_order: OrderPlaced) {}

#[nq::worker(flow = "order")]
async unsafe fn not_safe(_order: OrderPlaced) {}

#[nq::worker(flow = "order")]
struct NotAFunction;

struct Shop;

impl Shop {
    #[nq::worker(flow = "order")]
    async fn method(&self, _order: OrderPlaced) {}
}

nq::registry!();

fn main() {}
