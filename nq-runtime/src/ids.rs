//! The one place where ids are drawn.

use nq_core::id::{InstanceId, RunId};

#[expect(clippy::disallowed_methods, reason = "the one place where ids are drawn")]
fn fresh() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A new run id; later ones sort after earlier ones.
pub(crate) fn run_id() -> RunId {
    RunId::new(fresh()).unwrap_or_else(|error| unreachable!("a UUID is a valid id: {error}"))
}

/// A new instance id, so that no two processes ever share one, on whatever machine.
pub(crate) fn instance_id() -> InstanceId {
    InstanceId::new(fresh()).unwrap_or_else(|error| unreachable!("a UUID is a valid id: {error}"))
}
