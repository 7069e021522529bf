//! `by` is a field that the joined events do not have, or only one of them has.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
#[serde(rename_all = "camelCase")]
struct OrderPaid {
    order_id: u64,
    cents: u64,
}

#[nq::event]
#[serde(rename_all = "camelCase")]
struct OrderPacked {
    order_id: u64,
    weight: u32,
}

#[nq::event]
struct Picked(u64, u64);

#[nq::event]
enum Decided {
    Yes { order: u64 },
    No { order: u64 },
}

#[nq::worker(flow = "order", emits = [OrderPaid, OrderPacked, Picked, Decided, "order.seen"])]
async fn place(_order: OrderPlaced) {}

#[nq::worker(flow = "order", joins = [OrderPaid, OrderPacked], by = "orderId")]
async fn fine(_both: (OrderPaid, OrderPacked)) {}

#[nq::worker(flow = "order", joins = [OrderPaid, OrderPacked], by = "odrerId")]
async fn misspelled(_both: (OrderPaid, OrderPacked)) {}

#[nq::worker(flow = "order", joins = [OrderPaid, OrderPacked], by = "order_id")]
async fn as_in_rust(_both: (OrderPaid, OrderPacked)) {}

#[nq::worker(flow = "order", joins = [OrderPaid, OrderPacked], by = "weight")]
async fn of_one(_both: (OrderPaid, OrderPacked)) {}

#[nq::worker(flow = "order", joins = [Picked, "order.seen"], by = "0")]
async fn of_no_object(_both: (Picked, nq::Json)) {}

#[nq::worker(flow = "order", joins = [Decided, OrderPaid], by = "order")]
async fn in_a_variant(_both: (Decided, OrderPaid)) {}

nq::registry!();

fn main() {}
