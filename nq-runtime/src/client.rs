//! Starting runs, and looking at them.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nq_core::bounds::{InputOf, Worker};
use nq_core::decide;
use nq_core::def::WorkerDef;
use nq_core::id::{IdError, MAX_ID_LEN, Name, RunId};
use nq_core::limits;
use nq_core::registry::{Flow, FlowStep, Registry, flows_of};
use nq_core::store::{ErrorKind, Started, Store, StoreError};
use nq_core::transaction::Start;
use nq_core::value::{self, ValueError, Written};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::engine::link::Link;
use crate::ids;
use crate::open::Builder;
use crate::run::Run;
use crate::store::memory::MemoryStore;

/// A run could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program has no such flow.
    #[error("there is no flow `{flow}`{}", hint(.near.as_deref()))]
    NoFlow {
        /// The name that was asked for.
        flow: String,
        /// A flow with a similar name.
        near: Option<String>,
    },
    /// The flow has several entries, and none was named; or it has none of this name.
    #[error("flow `{flow}` begins at {}: name one with `.entry(…)`", list(.entries))]
    NoEntry {
        /// The flow.
        flow: String,
        /// Its entries.
        entries: Vec<String>,
    },
    /// The worker belongs to several flows, and none was named.
    #[error("worker `{worker}` belongs to the flows {}: start it with `nq.flow(…).start::<…>(…)`", list(.flows))]
    SeveralFlows {
        /// The worker.
        worker: String,
        /// Its flows.
        flows: Vec<String>,
    },
    /// The input does not fit the schema of the event that starts the flow.
    #[error("the input does not fit the event `{event}`: {}", said(.violations))]
    Invalid {
        /// The event.
        event: String,
        /// What is wrong, and where.
        violations: Vec<Violation>,
    },
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    NotJson(String),
    /// The input is nested too deep.
    #[error(
        "the input is nested deeper than {limit} levels at `{pointer}`: make it flatter, or keep the data elsewhere \
         and pass its key"
    )]
    TooDeep {
        /// Where, as a JSON pointer.
        pointer: String,
        /// The limit.
        limit: usize,
    },
    /// The input passes the limit.
    #[error(
        "the input has {bytes} bytes of JSON, and the limit is {limit}: keep the data elsewhere and pass its key"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The run id is not one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The store refused: nothing has begun.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has not answered, so that the run may have begun.
    #[error(
        "nobody knows whether run `{run}` has begun: start it again with `.id(\"{run}\")`, which begins it once"
    )]
    Unknown {
        /// The id of the run, also where the caller gave none.
        run: RunId,
        /// What the store said instead.
        source: StoreError,
    },
}

/// One way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Where, as a JSON pointer: `/items/0/qty`. Empty for the value itself.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

pub(crate) fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn said(violations: &[Violation]) -> String {
    let one = |v: &Violation| match v.pointer.as_str() {
        "" => v.message.clone(),
        pointer => format!("at `{pointer}`: {}", v.message),
    };
    violations.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A store, seen by a program: starts runs and looks at them. Cheap to clone.
///
/// A program that works has it in its [`Nq`](crate::open::Nq); one that only asks others to work makes it with
/// [`Builder::client`](crate::open::Builder::client). A worker takes it as a parameter, to start runs of other flows.
/// An attempt that is repeated would start its runs again, so it derives their ids from the step:
///
/// ```
/// # #![allow(non_camel_case_types)]
/// # use nq::prelude::*;
/// # #[nq::event]
/// # struct OrderPaid { order: u64 }
/// # #[nq::event]
/// # struct Parcel { order: u64 }
/// # async fn bill<W: nq::Worker, send: nq::Worker>(paid: OrderPaid, ctx: Ctx<W>, client: nq::Client) -> nq::Result<()>
/// # where Parcel: nq::InputOf<send> {
/// let run = client.start::<send>(Parcel { order: paid.order }).id(ctx.idempotency_key()).await?;
/// ctx.state().set("parcel", run.id())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    max_payload: usize,
    /// The engine of the instance that it belongs to, which hears at once what is done to a run through it.
    link: Link,
}

impl Client {
    pub(crate) fn new(store: Arc<dyn Store>, registry: Arc<Registry>, max_payload: usize) -> Self {
        Self { store, registry, max_payload, link: Link::Detached }
    }

    /// The same, of the instance whose engine is at the other end.
    pub(crate) fn told_by(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// A client of an empty store in memory that knows the workers of the program, for tests: what is started there is
    /// kept, and nothing runs it.
    ///
    /// # Panics
    ///
    /// If the workers of the program do not fit together, for which it would not start either.
    ///
    /// ```
    /// # async fn example() -> nq::Result<()> {
    /// let client = nq::Client::for_test();
    /// // Call the worker with `client.clone()`, then look at what it has started.
    /// assert!(client.runs().all().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_test() -> Self {
        let store = Arc::new(MemoryStore::new());
        let client = Builder::new(store).client();
        client.unwrap_or_else(|error| panic!("the workers of the program do not fit together: {error}"))
    }

    /// Starts a run of the worker's flow at this worker: await it, after saying more about it where needed.
    /// When the await returns, the run is in the store and will not be lost.
    ///
    /// A store that does not answer is asked again for ten seconds; the error is then [`StartError::Unknown`], with the
    /// id under which the run may have begun.
    ///
    /// ```
    /// # #![allow(non_camel_case_types)]
    /// # #[nq::event]
    /// # struct OrderPlaced { order: u64, cents: u64 }
    /// # async fn example<charge: nq::Worker>(nq: nq::Client) -> nq::Result<()> where OrderPlaced: nq::InputOf<charge> {
    /// let run = nq.start::<charge>(OrderPlaced { order: 7, cents: 1999 }).id("order-7").await?;
    /// run.completed().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start<W: Worker>(&self, input: impl InputOf<W>) -> StartRun<'_> {
        let mut flows = flows_of(W::DEF);
        let flow = flows.next().unwrap_or_default();
        if flows.next().is_some() {
            let worker = W::DEF.name.to_owned();
            let flows = flows_of(W::DEF).map(ToOwned::to_owned).collect();
            return StartRun::refused(self, StartError::SeveralFlows { worker, flows });
        }
        self.flow(flow).start::<W>(input)
    }

    /// Starts a run of a flow with an input from elsewhere: it is checked against the JSON Schema of the
    /// event that the flow begins with, and read as that event, before anything is stored.
    ///
    /// ```
    /// # async fn example(nq: nq::Client, body: nq::Json) -> nq::Result<()> {
    /// match nq.start_json("order", body).await {
    ///     Ok(run) => println!("{}", run.id()),
    ///     Err(nq::StartError::Invalid { violations, .. }) => {
    ///         for violation in violations {
    ///             println!("{}: {}", violation.pointer, violation.message);
    ///         }
    ///     }
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_json(&self, flow: &str, input: Value) -> StartRun<'_> {
        self.flow(flow).start_json(input)
    }

    /// One of the program's flows, by name: for a worker that belongs to several.
    ///
    /// ```
    /// # #![allow(non_camel_case_types)]
    /// # #[nq::event]
    /// # struct OrderPlaced { order: u64 }
    /// # async fn example<charge: nq::Worker>(nq: nq::Client) -> nq::Result<()> where OrderPlaced: nq::InputOf<charge> {
    /// let run = nq.flow("gift").start::<charge>(OrderPlaced { order: 7 }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flow(&self, name: &str) -> FlowRef<'_> {
        FlowRef { client: self, name: name.to_owned() }
    }

    /// One run, by its id. Nothing is asked of the store yet.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let status = nq.run("order-7")?.status().await?;
    /// assert!(status.is_terminal());
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, id: impl AsRef<str>) -> Result<Run, IdError> {
        Ok(Run::new(self.store.clone(), RunId::new(id)?, self.link.clone()))
    }

    /// Every worker, event and flow of the program.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

/// A flow of the program, by name.
#[derive(Clone, Debug)]
pub struct FlowRef<'a> {
    client: &'a Client,
    name: String,
}

impl<'a> FlowRef<'a> {
    /// Starts a run of this flow at this worker.
    pub fn start<W: Worker>(&self, input: impl InputOf<W>) -> StartRun<'a> {
        let written = value::write(&input).map_err(|error| {
            value::give_up(input, &error);
            refused(error)
        });
        StartRun::new(self, Some(W::DEF), written, false)
    }

    /// Starts a run of this flow with an input from elsewhere.
    pub fn start_json(&self, input: Value) -> StartRun<'a> {
        let written = match value::measure(&input) {
            Ok(bytes) => Ok(Written { value: input, bytes }),
            Err(error) => {
                value::dismantle(input);
                Err(refused(error))
            }
        };
        StartRun::new(self, None, written, true)
    }
}

/// A run that is about to start: await it.
#[must_use = "a run starts when this is awaited"]
#[derive(Debug)]
pub struct StartRun<'a> {
    client: &'a Client,
    flow: String,
    entry: Option<String>,
    input: Result<Written, StartError>,
    validate: bool,
    id: Option<String>,
}

impl<'a> StartRun<'a> {
    fn new(
        flow: &FlowRef<'a>,
        def: Option<&'static WorkerDef>,
        input: Result<Written, StartError>,
        validate: bool,
    ) -> Self {
        let entry = def.map(|def| def.name.to_owned());
        Self { client: flow.client, flow: flow.name.clone(), entry, input, validate, id: None }
    }

    fn refused(client: &'a Client, error: StartError) -> Self {
        Self { client, flow: String::new(), entry: None, input: Err(error), validate: false, id: None }
    }

    /// Gives the run this id, of 1 to 200 bytes without white space. Starting again with the same id and input starts nothing and finds the run;
    /// with another input it is an error.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Names the entry worker, where the flow has several.
    pub fn entry(mut self, entry: impl Into<String>) -> Self {
        self.entry = Some(entry.into());
        self
    }

    async fn begin(self) -> Result<Run, StartError> {
        let (client, Written { value: input, bytes }) = (self.client, self.input?);
        let flow = client.registry.flow(&self.flow).ok_or_else(|| no_flow(&client.registry, &self.flow))?;
        let step = entry(flow, self.entry.as_deref())?;
        let limit = client.max_payload;
        if bytes > limit {
            return Err(StartError::TooLarge { bytes, limit });
        }
        if self.validate {
            check(&client.registry, step, &input)?;
        }
        let given = self.id.is_some();
        let run = self.id.map_or_else(|| Ok(ids::run_id()), RunId::new)?;
        let mut start = decide::start(flow, step, run, input, &client.registry.hash);
        let started = until_answered(&*client.store, &mut start, given).await;
        let run = start.run;
        match started {
            Ok(_) => Ok(Run::new(client.store.clone(), run, client.link.clone())),
            Err(error) if is_refusal(&error) => Err(error.into()),
            Err(source) => Err(StartError::Unknown { run, source }),
        }
    }
}

/// How long a start is sent again to a store that does not answer.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Sends a start until the store answers: the id makes it one run. A store that keeps runs in several places may have
/// room for another id, as long as the run can be nowhere yet and nobody has `given` it its id.
async fn until_answered(store: &dyn Store, start: &mut Start, given: bool) -> Result<Started, StoreError> {
    let mut others = if given { 0 } else { OTHER_IDS };
    let patient_until = Instant::now() + START_PATIENCE;
    let mut pause = Duration::from_millis(50);
    loop {
        match store.start(start).await {
            Err(error) if error.unsent && others > 0 => {
                others -= 1;
                start.run = ids::run_id();
                continue;
            }
            // It may be there by now.
            Err(error) if error.is_retryable() && Instant::now() + pause <= patient_until => others = 0,
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Whether the store says by an error that it did nothing, also in the tries before.
fn is_refusal(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Lane | ErrorKind::TooLarge)
}

impl<'a> IntoFuture for StartRun<'a> {
    type Output = Result<Run, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

/// How many other ids a run gets whose own belongs to a part of the store that is away.
const OTHER_IDS: u32 = 8;

fn no_flow(registry: &Registry, flow: &str) -> StartError {
    // A name from outside may be of any length.
    let flow = limits::cut_to(flow, MAX_ID_LEN);
    let near = nearest(&flow, registry.flows.keys().map(Name::as_str));
    StartError::NoFlow { flow, near }
}

/// The name that is most like what was written, if one is like it at all.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // Looking for similar names takes time for each byte.
    let text = &limits::cut_to(text, MAX_ID_LEN);
    let names = names.map(|name| (strsim::jaro_winkler(text, name), name));
    let nearest = names.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
    nearest.map(|(_, name)| name.to_owned())
}

fn entry<'f>(flow: &'f Flow, name: Option<&str>) -> Result<&'f FlowStep, StartError> {
    let mut entries = flow.entries().filter(|step| name.is_none_or(|name| step.def.name == name));
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(StartError::NoEntry {
            flow: flow.name.to_string(),
            entries: flow.entries().map(|step| step.def.name.to_owned()).collect(),
        }),
    }
}

fn refused(error: ValueError) -> StartError {
    match error {
        ValueError::TooDeep { pointer } => StartError::TooDeep { pointer, limit: limits::MAX_DEPTH },
        other => StartError::NotJson(other.to_string()),
    }
}

/// The most violations that one error names.
const MAX_VIOLATIONS: usize = 20;
/// The most that is said of one violation, in bytes: a validator repeats the value.
const MAX_VIOLATION_BYTES: usize = 1024;

/// Checks an input against the schema of the event that the entry takes, then reads it as that event: a schema does
/// not say all that a type asks for, such as that `1.0` is no integer.
fn check(registry: &Registry, entry: &FlowStep, input: &Value) -> Result<(), StartError> {
    let Some(event) = entry.def.input.and_then(|input| registry.events.get(input.name)) else {
        return Ok(());
    };
    let schema = (event.schema)().to_value();
    let invalid = |violations| StartError::Invalid { event: event.name.to_owned(), violations };
    let validator = jsonschema::validator_for(&schema).map_err(|error| {
        let message = format!("its schema cannot be used: {error}");
        invalid(vec![Violation { pointer: String::new(), message }])
    })?;
    let violation = |error: jsonschema::ValidationError<'_>| Violation {
        pointer: limits::cut_to(error.instance_path().to_string(), MAX_VIOLATION_BYTES),
        message: limits::display_to(error, MAX_VIOLATION_BYTES),
    };
    let violations: Vec<_> = validator.iter_errors(input).take(MAX_VIOLATIONS).map(violation).collect();
    if !violations.is_empty() {
        return Err(invalid(violations));
    }
    (event.read)(input).map_err(|misfit| {
        let message = limits::cut_to(misfit.message, MAX_VIOLATION_BYTES);
        invalid(vec![Violation { pointer: misfit.pointer, message }])
    })
}
