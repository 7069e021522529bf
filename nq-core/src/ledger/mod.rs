//! The acts of a store, written once over the records that it keeps. A store that can hold its records
//! still while an act runs (a lock, a database transaction) implements [`Records`] and has the whole
//! contract; one that cannot (a script inside a server) says the same again in its own language and is
//! held to it by the conformance suite.
//!
//! Every act checks all that it needs before its first write, so that a refusal leaves nothing behind. An
//! error of the records themselves is the store's to undo.

mod acts;
mod commit;
mod damage;
mod fork;
mod former;
mod page;
mod records;
mod turn;

pub use self::acts::{act, append, due, expire, spare, start};
pub use self::damage::{condemn, fail, unreadable};
pub use self::records::{Damage, Records};
pub use self::turn::{LaneError, arrived, turn};
