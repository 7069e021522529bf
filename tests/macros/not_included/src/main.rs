//! Uses a library's types without including its workers: they are linked, and not proven.

#[nq::event]
struct Placed {}

#[nq::worker(flow = "order", emits = [shipping::events::OrderPaid])]
async fn charge(_placed: Placed) {}

nq::registry!();

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match nq::open("memory:").await.unwrap().start().await {
        Ok(_) => println!("started"),
        Err(error) => println!("{}", nq::Error::from(error).report()),
    }
}
