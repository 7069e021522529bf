//! The erased handlers of workers, the few functions that the expansion of `#[worker]` calls, and the handlers of the
//! running program.

mod calls;
mod erased;
mod event;
mod input;
mod linked;
mod outcome;

pub use self::calls::*;
pub use self::erased::{Called, Handler, Need};
pub use self::event::{read, schema};
pub use self::input::{
    Arm, Sides, arm, arm_json, arm_untyped, check_provided, extract, gathered, gathered_sole, joined,
    joined_untyped, one_of, sole, started,
};
pub(crate) use self::linked::wired;
pub use self::linked::{Proven, RegistryError, linked, linked_if_any};
pub use self::outcome::{Failure, Outcome, outcome};
