//! What the macros' expansions call. Not for anything else: it changes without notice.

pub use nq_core::bucket::{self, Slot};
pub use nq_core::def::{
    Backoff, EmittedBy, Event, EventDef, EventRef, InputFrom, InputOf, InputOfGather, Json, OnFailure, Own,
    Worker, WorkerDef,
};
pub use nq_core::proof::{self, Registered, hash};
pub use nq_macros::registry;
pub use nq_runtime::handler::{
    Handler, Proven, arm, arm_json, arm_untyped, boxed, check_provided, extract, gathered, joined,
    joined_untyped, one_of, outcome, schema, started,
};
pub use {inventory, schemars, serde};
