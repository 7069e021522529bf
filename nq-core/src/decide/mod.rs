//! The decisions about a run: what it begins with, what an attempt writes, what follows its end, and when a snapshot of
//! the state is due. Pure: the same step with the same operations always decides the same.

mod attempt;
mod end;
mod said;
mod snapshot;
mod start;

pub use self::attempt::{CHECKPOINT, End, Operation, OperationKind, decide};
pub use self::end::{Ended, Failure, Left, end, failed, give_back, too_large};
pub use self::said::{Attempt, log, lost, lost_again};
pub use self::snapshot::{SinceSnapshot, add_snapshot, snapshot};
pub use self::start::start;
