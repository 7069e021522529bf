//! The events of the library.

/// Paid.
#[nq::event]
pub struct OrderPaid {
    /// The order.
    pub order: u64,
}

/// Sent.
#[nq::event]
pub struct OrderSent {
    /// The order.
    pub order: u64,
}
