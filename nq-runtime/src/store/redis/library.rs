//! The library of functions, and how they are called: by name, and a server that does not know them is given them.
//!
//! They are functions and not scripts: a script makes all its closures anew at every call, which is a fifth to a
//! quarter of what a turn costs the server.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use nq_core::decide;
use nq_core::entry::EntryType;
use nq_core::entry::data::{
    FlowCancelled, FlowCompleted, FlowFailed, StepFailed, StepRetrying, Unpaired, fields,
};
use nq_core::id::InstanceId;
use nq_core::ledger::unreadable;
use nq_core::limits::{MAX_TIME_MS, MAX_TURN_WRITES};
use nq_core::status::RunStatus;
use nq_core::store::StoreError;
use redis::{Cmd, Pipeline, RedisError, ToRedisArgs, Value};

use super::codec::status_letter;
use super::link::Link;
use super::partition::Partition;

/// The numbers that the functions go by.
const LIMITS: [(&str, u64); 13] = [
    // More unfinished jobs, or more bytes of them, are fields of a hash: a record is written whole by each act.
    ("lines", 8),
    ("record_bytes", 4_096),
    // Whoever looks for one entry reads its pack whole.
    ("pack_entries", 500),
    ("pack_bytes", 64 * 1_024),
    // An input that goes with its ticket saves the look at the timeline, and is kept twice until it is leased.
    ("ticket_bytes", 1_024),
    ("given_bytes", 64 * 1_024),
    ("turn_writes", MAX_TURN_WRITES as u64),
    ("unpaired", 100),
    // How many entries, each with the runs that one call has ended, are kept for those who wait.
    ("ended", 1_000),
    ("time_ms", MAX_TIME_MS),
    // A week: no outage lasts longer.
    ("lane_ms", 7 * 86_400_000),
    ("offer_ms", 600_000),
    // When to look again at a lease of a run that is damaged.
    ("again_ms", 10_000),
];
/// With how many unfinished jobs in its record a store is content that goes by the clock of a test.
const FEW_LINES: u64 = 2;
/// What is wrong with a job that cannot be read.
pub(super) const DAMAGED: &str = "its record is damaged";

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
        "base" "records" "queues" "page" "gathers" "close" "settle" "joins" "former" "timeline" "lease" "backlog"
        "commit" "lanes" "turn" "offer" "start" "fork" "act" "read" "expire" "retention" "reconcile" "tick"
    );
    let code = names() + rules;
    let name = format!("nq_{}", &redis::Script::new(&code).get_hash()[..12]);
    let prefix = format!("{name}_");
    Library { code: format!("#!lua name={name}\nlocal NAME = '{prefix}'\n{code}"), prefix }
});

/// What Lua and Rust call the same. `TYPE.StepFailed` is `flow.step.failed`, `ENDS.failed` the type of the entry that ends a
/// run so, `FIELD.error` is `"error":`, and `STATUS` has the letter of each status, and the status of each letter. `LIMIT`
/// has the numbers, and `SAYS` the texts, with `%s` for each word in them.
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
    let letter = |status: &RunStatus| {
        let letter = status_letter(*status);
        format!("{status}='{letter}',{letter}='{status}'")
    };
    let limits = LIMITS.iter().map(|(name, limit)| format!("{name}={limit}"));
    let says = [("unreadable", unreadable("%s", "%s", DAMAGED)), ("crashed", decide::lost_again("", "%s"))];
    let stopped = InstanceId::new("%s").map(|anyone| ("stopped", decide::lost(&anyone)));
    let says = says.into_iter().chain(stopped).map(|(name, text)| format!("{name}='{text}'"));
    let table = |name, entries: Vec<String>| format!("local {name} = {{{}}}\n", entries.join(","));
    table("TYPE", types.collect())
        + &table("ENDS", ends.collect())
        + &table("FIELD", fields.collect())
        + &table("STATUS", RunStatus::ALL.iter().map(letter).collect())
        + &table("LIMIT", limits.collect())
        + &table("SAYS", says.collect())
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
            command.arg(format!("{} {} {FEW_LINES}", now_ms / 1_000, now_ms % 1_000 * 1_000));
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
