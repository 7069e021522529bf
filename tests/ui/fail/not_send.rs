//! A worker that holds what cannot move between threads.

#[nq::event]
struct OrderPlaced {}

#[nq::worker(flow = "order")]
async fn charge(_order: OrderPlaced) {
    let counter = std::rc::Rc::new(1);
    std::future::ready(()).await;
    drop(counter);
}

nq::registry!();

fn main() {}
