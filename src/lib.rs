//! The façade: the only crate that users name.

#![doc = include_str!("../README.md")]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod macros;

pub use macros::{data, event, input, registry, worker};
pub use nq_core::bounds::{EmittedBy, InputOf, Part, Worker};
pub use nq_core::def::{Event, EventDef, EventRef, WorkerDef};
pub use nq_core::entry::{Entry, EntryType};
pub use nq_core::fork::ForkError;
pub use nq_core::generic::Argument;
pub use nq_core::id::{EntryId, IdError, InstanceId, QueueName, RunId, StepId};
pub use nq_core::registry::Registry;
pub use nq_core::state::State;
pub use nq_core::status::{RunStatus, RunView, StepStatus, StepView};
pub use nq_runtime::client::{Client, FlowRef, QueueError, Runs, RunsError, StartError, StartRun, Violation};
pub use nq_runtime::ctx::Ctx;
pub use nq_runtime::data::{Data, MissingData, Provided};
pub use nq_runtime::error::{AnyError, BoxError, EffectError, Error, Result};
pub use nq_runtime::extract::Extract;
pub use nq_runtime::log;
pub use nq_runtime::open::{Builder, Nq, OpenError, open};
pub use nq_runtime::run::{Completed, RerunError, ResultError, Run, RunError};
pub use nq_runtime::state::StateHandle;
pub use nq_runtime::step::{Step, StepError};
pub use nq_runtime::store;
pub use nq_runtime::testing;
pub use nq_runtime::unserved::Unserved;
/// Any JSON value: the input of a worker for events without a type of their own.
pub use serde_json::Value as Json;

/// `Ok` with nq's error, for closures whose error type rustc cannot infer.
///
/// ```
/// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
/// let day: u32 = ctx.run("read the clock", async || nq::Ok(17)).await?;
/// # Ok(())
/// # }
/// ```
#[expect(non_snake_case, reason = "it stands for the variant")]
pub fn Ok<T>(value: T) -> Result<T> {
    Result::Ok(value)
}

/// What a program of workers imports.
pub mod prelude {
    pub use crate::{Ctx, Data};
}
