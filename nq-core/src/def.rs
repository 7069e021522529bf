//! What `#[event]` and `#[worker]` say, as constants: rustc evaluates the proof over them, and the running
//! program builds its registry from them.

use crate::keys;

/// An event type, as `#[event]` declares it.
#[derive(Clone, Copy, Debug)]
pub struct EventDef {
    /// The name in timelines, unique within a program: `order.placed`.
    pub name: &'static str,
    /// The key of the name.
    pub key: u64,
    /// The path of the Rust type, which tells two types of one name apart.
    pub type_path: &'static str,
    /// The key of the type's path.
    pub type_key: u64,
    /// The fields of the payload, by the names that they have in JSON; none where they are not known, because they
    /// come from another type.
    pub fields: Option<&'static [&'static str]>,
    /// Makes the JSON Schema of the payload.
    pub schema: fn() -> schemars::Schema,
    /// Reads a payload as the type, as a worker will.
    pub read: fn(&serde_json::Value) -> Result<(), Misfit>,
}

/// Where and why a payload is not what its type reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where, as a JSON pointer. Empty for the payload itself, or where that is not known.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// A user's typed payload. Implemented by `#[nq::event]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "make it one: put `#[nq::event]` above the type"
)]
pub trait Event: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// The definition of this type.
    const DEF: EventDef;
}

impl EventDef {
    /// A mention of this event.
    pub const fn mention(&self) -> EventRef {
        let Self { name, key, type_path, type_key, .. } = *self;
        EventRef { name, key, type_path: Some(type_path), type_key }
    }
}

/// One mention of an event in a worker's attribute.
#[derive(Clone, Copy, Debug)]
pub struct EventRef {
    /// The event's name.
    pub name: &'static str,
    /// The key of the name.
    pub key: u64,
    /// The path of the Rust type; none for an untyped event, named by a string.
    pub type_path: Option<&'static str>,
    /// The key of the type's path; zero where there is none.
    pub type_key: u64,
}

impl EventRef {
    /// An untyped event.
    pub const fn untyped(name: &'static str) -> Self {
        Self { name, key: keys::of(keys::EVENT, name), type_path: None, type_key: 0 }
    }
}

/// How the delay between two attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Backoff {
    /// The same delay each time, in milliseconds.
    Fixed {
        /// The delay.
        delay_ms: u64,
    },
    /// Doubles from `base_ms` up to `max_ms`; each delay is drawn from nothing to that bound (full jitter).
    Exponential {
        /// The bound of the first delay, in milliseconds.
        base_ms: u64,
        /// The bound that no delay passes, in milliseconds.
        max_ms: u64,
    },
}

impl Backoff {
    /// Doubles up to five minutes, or stays at the first delay if that is longer.
    pub const fn exponential(base_ms: u64) -> Self {
        Self::Exponential { base_ms, max_ms: if base_ms > 300_000 { base_ms } else { 300_000 } }
    }
}

/// What the failure of a step means for its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The run fails with it.
    Fail,
    /// The run goes on without what the step would have caused.
    Continue,
}

/// The [`keys`] of texts by which the proof finds a worker. The macro computes most of them, since constant evaluation is
/// slow; the proof computes the rest.
#[derive(Clone, Copy, Debug)]
pub struct WorkerKeys {
    /// The key of the path of the function, with the name of its file and its column: a binary and a library of one name
    /// may each have a worker of the same path, and so may a module and a function in it.
    pub path: u64,
    /// The key of the name.
    pub name: u64,
    /// The keys of the flows, in their order.
    pub flows: &'static [u64],
}

/// A worker, as `#[worker]` declares it.
#[derive(Clone, Copy, Debug)]
pub struct WorkerDef {
    /// The name, unique within each of its flows.
    pub name: &'static str,
    /// The path of the function: `shop::steps::charge`.
    pub path: &'static str,
    /// The path of the type beside the function, by which `registry!(also = […])` lists it.
    pub type_path: &'static str,
    /// The keys by which the proof finds it.
    pub keys: WorkerKeys,
    /// The flows that it is a step of; empty for a plain queue worker, which is a flow of its own.
    pub flows: &'static [&'static str],
    /// The names that it had before, as `name` or as `flow/name`: it takes over the jobs and events that wait under them.
    pub was: &'static [&'static str],
    /// The queue that it shares limits with others in.
    pub queue: Option<&'static str>,
    /// The event that it starts with when it is an entry; none where the attribute names what it subscribes
    /// to, joins or gathers.
    pub input: Option<EventRef>,
    /// What it may emit.
    pub emits: &'static [EventRef],
    /// Runs once for each of these.
    pub subscribes: &'static [EventRef],
    /// Runs once when all of these have arrived.
    pub joins: &'static [EventRef],
    /// The field by which joined events pair; by order of arrival where there is none.
    pub by: Option<&'static str>,
    /// Runs once with every event of this kind, when no more can come.
    pub gathers: &'static [EventRef],
    /// How many attempts may follow the first one.
    pub retries: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// The longest that an attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How many steps of it one instance runs at a time.
    pub concurrency: Option<u32>,
    /// The rules of `cargo xtask registry --check` that are not applied to it.
    pub allow: &'static [&'static str],
    /// After how many attempts during which the process ended a step is a dead letter.
    pub max_crashes: u32,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// Whether its attribute has mistakes in options that concern the wiring. If so, the checks of its flows report nothing.
    pub broken: bool,
    /// The source file, as `file!()` names it.
    pub file: &'static str,
    /// The line of the function's name. It is a function, so that the definition stays the same to rustc when lines are
    /// added above it, and the proof need not be computed again.
    pub line: fn() -> u32,
}

impl WorkerDef {
    /// Stands for the flow of a worker whose attribute is too broken to name one. No flow can have this name.
    pub const UNKNOWN_FLOW: &'static str = " ";

    /// The defaults of `#[worker]`.
    pub const DEFAULT: Self = Self {
        name: "",
        path: "",
        type_path: "",
        keys: WorkerKeys { path: 0, name: 0, flows: &[] },
        flows: &[],
        was: &[],
        queue: None,
        input: None,
        emits: &[],
        subscribes: &[],
        joins: &[],
        by: None,
        gathers: &[],
        retries: 3,
        backoff: Backoff::Exponential { base_ms: 1_000, max_ms: 300_000 },
        timeout_ms: None,
        concurrency: None,
        allow: &[],
        max_crashes: 5,
        on_failure: OnFailure::Fail,
        broken: false,
        file: "",
        line: || 0,
    };

    /// The names of the flows that it is a step of. A plain queue worker is a flow of its own.
    pub fn flow_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let own = self.flows.is_empty().then_some(self.name);
        self.flows.iter().copied().chain(own)
    }

    /// Whether a run can begin with this worker.
    pub const fn is_entry(&self) -> bool {
        self.subscribes.is_empty() && self.joins.is_empty() && self.gathers.is_empty()
    }
}
