//! The acts of a store, written once over the records that it keeps. A store that can run Rust code under a lock or in a
//! database transaction implements [`Records`] and has the whole contract. Another (a script inside a server) says the
//! same again in its own language, and the conformance suite proves that it does.
//!
//! Every act checks all that it needs before its first write, so that a refusal leaves nothing behind. If a record cannot
//! be read or written, the store undoes the act.

mod acts;
mod commit;
mod damage;
mod fork;
mod former;
mod lease;
mod page;
mod records;
mod turn;

pub use self::acts::{act, append, due, expire, spare, start};
pub use self::damage::{condemn, fail, unreadable};
pub use self::lease::arrived;
pub use self::records::{Damage, Records};
pub use self::turn::{LaneError, turn};
