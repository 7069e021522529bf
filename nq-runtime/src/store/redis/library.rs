//! The library of functions, and how they are called: by name, and a server that does not know them is given them.
//!
//! They are functions and not scripts: a script makes all its closures anew at every call, which is a fifth to a
//! quarter of what a turn costs the server.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use nq_core::entry::EntryType;
use nq_core::entry::data::{
    FlowCancelled, FlowCompleted, FlowFailed, StepFailed, StepRetrying, Unpaired, fields,
};
use nq_core::status::RunStatus;
use nq_core::store::StoreError;
use redis::{Cmd, Pipeline, RedisError, ToRedisArgs, Value};

use super::link::Link;
use super::partition::Partition;

/// The library as the server gets it.
struct Library {
    /// What the names of its functions begin with: a digest tells one version of nq from another.
    prefix: String,
    code: String,
}

macro_rules! files {
    ($($file:literal)+) => { concat!($(include_str!(concat!("library/", $file, ".lua"))),+) };
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let rules = files!(
        "base" "ledger" "turn" "start" "fork" "offer" "condemn" "act" "append" "migrate" "tick" "leave" "pause" "read" "gathered" "runs"
    );
    let code = names() + rules;
    let name = format!("nq_{}", &redis::Script::new(&code).get_hash()[..12]);
    let prefix = format!("{name}_");
    Library { code: format!("#!lua name={name}\nlocal NAME = '{prefix}'\n{code}"), prefix }
});

/// How entries and their fields are called in the timeline: `TYPE.StepFailed` is `flow.step.failed`, `ENDS.failed` the
/// type of the entry that ends a run so, and `FIELD.error` is `"error":`.
fn names() -> String {
    let types = EntryType::KNOWN.iter().map(|kind| format!("{kind:?}='{kind}'"));
    let end = |kind: &EntryType| Some(format!("{}='{kind}'", RunStatus::after(kind)?));
    let ends = EntryType::KNOWN.iter().filter(|kind| kind.is_terminal()).filter_map(end);
    let fields = [
        fields::<FlowCompleted>(),
        fields::<Unpaired>(),
        fields::<FlowFailed>(),
        fields::<FlowCancelled>(),
        fields::<StepFailed>(),
        fields::<StepRetrying>(),
    ];
    let fields: BTreeSet<_> = fields.into_iter().flatten().collect();
    let fields = fields.into_iter().map(|field| format!("{field}='\"{field}\":'"));
    let table = |name, entries: Vec<String>| format!("local {name} = {{{}}}\n", entries.join(","));
    table("TYPE", types.collect()) + &table("ENDS", ends.collect()) + &table("FIELD", fields.collect())
}

/// One call of a function in a partition.
pub(super) struct Call {
    op: &'static str,
    command: Cmd,
    /// Whether it changes nothing, and may be made again when a connection ends under it.
    reads: bool,
}

impl Call {
    /// A call of this function, without arguments but the partition's prefix.
    pub(super) fn new(function: &'static str, partition: &Partition) -> Self {
        let mut command = redis::cmd("FCALL");
        // The one key tells a cluster where to run it; the others share its slot.
        command.arg(format!("{}{function}", LIBRARY.prefix));
        command.arg(1 + u8::from(partition.clock.is_some())).arg(&partition.meta);
        if let Some(clock) = &partition.clock {
            let now_ms = clock();
            command.arg(format!("{} {}", now_ms / 1_000, now_ms % 1_000 * 1_000));
        }
        command.arg(&partition.prefix);
        Self { op: function, command, reads: false }
    }

    /// The same for a function that only reads.
    pub(super) fn reading(function: &'static str, partition: &Partition) -> Self {
        Self { reads: true, ..Self::new(function, partition) }
    }

    /// Adds an argument.
    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// How the errors of the call name it.
    pub(super) fn op(&self) -> &'static str {
        self.op
    }

    /// Makes the call.
    pub(super) async fn run(&self, link: &Link) -> Result<Value, StoreError> {
        let mut told = 0;
        loop {
            let loads = link.loads();
            let reply =
                if self.reads { link.read(&self.command).await } else { link.raw(&self.command).await };
            match reply {
                Ok(reply) => return Ok(reply),
                Err(error) => self.tell(link, error, loads, &mut told).await?,
            }
        }
    }

    /// Makes the call and, on the same connection right after it, another command, whose answer comes second.
    pub(super) async fn run_then(&self, link: &Link, then: &Cmd) -> Result<(Value, Value), StoreError> {
        let mut both = Pipeline::with_capacity(2);
        both.add_command(self.command.clone()).add_command(then.clone());
        let mut told = 0;
        loop {
            let loads = link.loads();
            let replies = link.send_all(&both).await.and_then(|replies| {
                let mut replies = replies.into_iter().map(Value::extract_error);
                let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
                Ok((next()?, next()?))
            });
            match replies {
                Ok(replies) => return Ok(replies),
                Err(error) => self.tell(link, error, loads, &mut told).await?,
            }
        }
    }

    /// Gives the server the library, if the error says that it does not know it.
    async fn tell(
        &self,
        link: &Link,
        error: RedisError,
        loads: u64,
        told: &mut u32,
    ) -> Result<(), StoreError> {
        /// Someone may make it forget as often as it is told.
        const TIMES: u32 = 5;
        let unknown = error.detail() == Some("Function not found");
        *told += 1;
        let told = if unknown && *told <= TIMES {
            link.load(redis::cmd("FUNCTION").arg("LOAD").arg(&LIBRARY.code), loads).await
        } else {
            Err(error)
        };
        told.map_err(|error| link.error(self.op, error))
    }
}
