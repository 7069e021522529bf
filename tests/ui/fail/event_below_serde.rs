//! `#[nq::event]` comes first: it adds the derives that `#[serde(…)]` belongs to.

#[serde(rename_all = "camelCase")]
#[nq::event]
struct OrderPlaced {
    order_id: u64,
}

nq::registry!();

fn main() {}
