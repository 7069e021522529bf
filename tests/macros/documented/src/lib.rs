//! Two doctests: only the one that lists its workers compiles.
//!
//! ```
//! #[nq::event]
//! pub struct OrderPlaced {}
//!
//! #[nq::worker(flow = "order")]
//! async fn charge(_order: OrderPlaced) {}
//!
//! nq::registry![charge];
//!
//! fn main() {}
//! ```
//!
//! ```
//! #[nq::event]
//! pub struct OrderPlaced {}
//!
//! #[nq::worker(flow = "order")]
//! async fn charge(_order: OrderPlaced) {}
//!
//! nq::registry!();
//!
//! fn main() {}
//! ```
