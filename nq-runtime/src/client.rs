//! Starting runs, and looking at them.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use nq_core::bounds::{InputOf, Worker};
use nq_core::decide;
use nq_core::def::WorkerDef;
use nq_core::id::{IdError, Name, QueueName, RunId};
use nq_core::registry::{Flow, FlowStep, Registry, flows_of};
use nq_core::status::RunStatus;
use nq_core::store::{
    JobSummary, JobsQuery, QueueCounts, RunSummary, RunsPage, RunsQuery, Store, StoreError,
};
use serde_json::Value;

use crate::engine::link::Link;
use crate::ids;
use crate::run::Run;
use crate::step::json_len;

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
    /// The store refused or could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON pointer: `/items/0/qty`. Empty for the value itself.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

fn hint(near: Option<&str>) -> String {
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
#[derive(Clone, Debug)]
pub struct Client {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
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

    /// Starts a run of the worker's flow at this worker: await it, after saying more about it where needed.
    /// When the await returns, the run is in the store and will not be lost.
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
    /// event that the flow begins with.
    pub fn start_json(&self, flow: &str, input: Value) -> StartRun<'_> {
        self.flow(flow).start_json(input)
    }

    /// One of the program's flows, by name.
    pub fn flow(&self, name: &str) -> FlowRef<'_> {
        FlowRef { client: self, name: name.to_owned() }
    }

    /// One run, by its id. Nothing is asked of the store yet.
    pub fn run(&self, id: impl AsRef<str>) -> Result<Run, IdError> {
        Ok(Run::new(self.store.clone(), RunId::new(id)?, self.link.clone()))
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Runs<'_> {
        Runs { client: self, query: RunsQuery { limit: 100, ..RunsQuery::default() }, bad: None }
    }

    /// The counts of every queue.
    pub async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.store.queues().await
    }

    /// The unfinished jobs of a run or a queue, dead letters among them.
    pub async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.store.jobs(query).await
    }

    /// Pauses a queue, `<flow>/<worker>`, on every instance: it gives out no jobs until it is resumed.
    pub async fn pause(&self, queue: &QueueName) -> Result<(), StoreError> {
        self.store.pause(queue, true).await
    }

    /// Resumes a paused queue.
    pub async fn resume(&self, queue: &QueueName) -> Result<(), StoreError> {
        self.store.pause(queue, false).await
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
        let input = serde_json::to_value(&input).map_err(|error| StartError::NotJson(error.to_string()));
        StartRun::new(self, Some(W::DEF), input, false)
    }

    /// Starts a run of this flow with an input from elsewhere.
    pub fn start_json(&self, input: Value) -> StartRun<'a> {
        StartRun::new(self, None, Ok(input), true)
    }
}

/// A run that is about to start: await it.
#[must_use = "a run starts when this is awaited"]
#[derive(Debug)]
pub struct StartRun<'a> {
    client: &'a Client,
    flow: String,
    entry: Option<String>,
    input: Result<Value, StartError>,
    validate: bool,
    id: Option<String>,
}

impl<'a> StartRun<'a> {
    fn new(
        flow: &FlowRef<'a>,
        def: Option<&'static WorkerDef>,
        input: Result<Value, StartError>,
        validate: bool,
    ) -> Self {
        let entry = def.map(|def| def.name.to_owned());
        Self { client: flow.client, flow: flow.name.clone(), entry, input, validate, id: None }
    }

    fn refused(client: &'a Client, error: StartError) -> Self {
        Self { client, flow: String::new(), entry: None, input: Err(error), validate: false, id: None }
    }

    /// Gives the run this id. Starting again with the same id and input starts nothing and finds the run;
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
        let (client, input) = (self.client, self.input?);
        let flow = client.registry.flow(&self.flow).ok_or_else(|| no_flow(&client.registry, &self.flow))?;
        let step = entry(flow, self.entry.as_deref())?;
        if self.validate {
            check(&client.registry, step, &input)?;
        }
        let (bytes, limit) = (json_len(&input), client.max_payload);
        if bytes > limit {
            return Err(StartError::TooLarge { bytes, limit });
        }
        let run = self.id.map_or_else(|| Ok(ids::run_id()), RunId::new)?;
        let start = decide::start(flow, step, run.clone(), input, &client.registry.hash);
        // Sent again until the store answers: the id makes it one run.
        let mut tries = 0;
        loop {
            match client.store.start(&start).await {
                Ok(_) => return Ok(Run::new(client.store.clone(), run, client.link.clone())),
                Err(error) if error.is_retryable() && tries < 3 => tries += 1,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50 << tries)).await;
        }
    }
}

impl<'a> IntoFuture for StartRun<'a> {
    type Output = Result<Run, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

fn no_flow(registry: &Registry, flow: &str) -> StartError {
    let near = registry.flows.keys().map(|name| (strsim::jaro_winkler(flow, name.as_str()), name));
    let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
    StartError::NoFlow { flow: flow.to_owned(), near: near.map(|(_, name)| name.to_string()) }
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

/// The most violations that one error names.
const MAX_VIOLATIONS: usize = 20;

/// Checks an input against the schema of the event that the entry takes.
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
        pointer: error.instance_path().to_string(),
        message: error.to_string(),
    };
    let violations: Vec<_> = validator.iter_errors(input).take(MAX_VIOLATIONS).map(violation).collect();
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
}

/// A list of runs: say which, then ask for a page.
#[must_use = "nothing is asked before `.page()`"]
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    client: &'a Client,
    query: RunsQuery,
    bad: Option<IdError>,
}

impl Runs<'_> {
    /// Only runs of this flow.
    pub fn flow(mut self, flow: &str) -> Self {
        match Name::new(flow) {
            Ok(flow) => self.query.flow = Some(flow),
            Err(error) => self.bad = Some(error),
        }
        self
    }

    /// Only runs that stand here.
    pub fn status(mut self, status: RunStatus) -> Self {
        self.query.status = Some(status);
        self
    }

    /// At most this many a page: 100 if nothing is said, 1,000 at most.
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = limit;
        self
    }

    /// From where a page before ended: its `next`.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.query.cursor = Some(cursor.into());
        self
    }

    /// The page.
    pub async fn page(self) -> Result<RunsPage, StartError> {
        if let Some(error) = self.bad {
            return Err(error.into());
        }
        Ok(self.client.store.runs(&self.query).await?)
    }

    /// Every run, page by page.
    pub async fn all(mut self) -> Result<Vec<RunSummary>, StartError> {
        let mut all = Vec::new();
        loop {
            let page = self.clone().page().await?;
            all.extend(page.runs);
            match page.next {
                Some(next) => self.query.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }
}
