//! A folder with `mod.rs`, events of a library under another name, and an alias.

mod charge;

use shipping::events::{OrderPaid as Paid, OrderSent};

/// Placed.
#[nq::event]
pub struct OrderPlaced {
    /// The order.
    pub order: u64,
}

pub type Placed = OrderPlaced;

#[nq::worker(flow = "order", joins = [Paid, OrderSent], by = "order")]
async fn close(_both: (Paid, OrderSent)) {}

/// Of the crate, though its worker is public.
#[nq::event]
pub(crate) struct Note {}

#[nq::worker(flow = "note")]
pub async fn note(_note: Note) {}
