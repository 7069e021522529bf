//! What the macros' expansions call. Not for anything else: it changes without notice.

pub use inventory;
pub use nq_core::bounds::{EmittedBy, InputOf, InputOfGather, Own, Worker, input_def, is_part};
pub use nq_core::bucket::{self, Slot};
pub use nq_core::def::{Backoff, Event, EventDef, EventRef, OnFailure, WorkerDef, WorkerKeys};
pub use nq_core::generic;
pub use nq_core::keys;
pub use nq_core::limits::duration_ms;
pub use nq_core::proof::{self, Registered};
pub use nq_runtime::ask::answer;
pub use nq_runtime::handler::{
    Handler, Proven, arm, arm_json, arm_untyped, call0, call1, call2, call3, call4, call5, call6, call7,
    call8, call9, call10, call11, call12, check_provided, extract, gathered, gathered_sole, joined,
    joined_untyped, one_of, outcome, read, schema, sole, started,
};
pub use schemars;
pub use serde;
pub use serde_json::Value as Json;
