//! Mistakes at events.

#[nq::event(nmae = "order.placed")]
struct OrderPlaced {}

#[nq::event(name = "order placed")]
struct OrderPaid {}

#[nq::event]
struct Wrapped<T> {
    inner: T,
}

#[nq::event]
fn not_a_type() {}

#[nq::input]
enum Ready {
    Paid(OrderPaid),
    Both(OrderPaid, OrderPlaced),
}

#[nq::input]
struct NotAnEnum {}

nq::registry!();

fn main() {}
