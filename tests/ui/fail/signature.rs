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
#[rustfmt::skip]
async fn too_many(_o: OrderPlaced, _1: u8, _2: u8, _3: u8, _4: u8, _5: u8, _6: u8, _7: u8, _8: u8, _9: u8, _a: u8, _b: u8, _c: u8, _d: u8) {}

#[nq::worker(flow = "order")]
struct NotAFunction;

struct Shop;

impl Shop {
    #[nq::worker(flow = "order")]
    async fn method(&self, _order: OrderPlaced) {}
}

nq::registry!();

fn main() {}
