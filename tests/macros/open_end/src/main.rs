//! The library waits for what nothing in the program emits, and clashes with it.

mod steps {
    #[nq::event]
    pub struct Placed {}

    #[nq::event]
    pub struct OrderSent {}

    #[nq::worker(flow = "order", emits = [OrderSent])]
    async fn charge(_placed: Placed) {}
}

nq::registry!(include = [shipping]);

fn main() {}
