//! Mistakes at events.

#[nq::event(nmae = "order.placed")]
struct OrderPlaced {}

#[nq::event(name = "order placed")]
struct OrderPaid {}

#[nq::event]
fn not_a_type() {}

#[nq::data]
type NotData = u32;

#[nq::data(title = "x")]
struct Line {}

#[nq::input]
enum Ready {
    Paid(OrderPaid),
    Both(OrderPaid, OrderPlaced),
}

#[nq::input]
struct NotAnEnum {}

nq::registry!();

fn main() {}
