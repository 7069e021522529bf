//! Starting runs.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use nq_core::bounds::{InputOf, Worker};
use nq_core::decide;
use nq_core::def::WorkerDef;
use nq_core::id::{MAX_ID_LEN, Name, RunId};
use nq_core::limits;
use nq_core::registry::{Flow, FlowStep, Registry, flows_of};
use nq_core::store::{ErrorKind, Started, Store, StoreError};
use nq_core::transaction::Start;
use nq_core::value::{self, ValueError, Written};
use serde_json::Value;
use tokio::time::Instant;

use super::Client;
use super::error::StartError;
use super::near::nearest;
use crate::ids;
use crate::run::Run;

impl Client {
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

    /// Gives the run this id, of 1 to 200 bytes without white space. Starting again with the same id and input starts
    /// nothing and finds the run; with another input it is an error. So is an id that ends in `~` and digits: such are
    /// the ids of [reruns](crate::run::Run::rerun).
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
            client.schemas.check(step, &input)?;
        }
        let given = self.id.is_some();
        let run = self.id.map_or_else(|| Ok(ids::run_id()), RunId::given)?;
        let mut start = decide::start(flow, step, run, input, &client.registry.hash);
        let started = until_answered(&*client.store, &mut start, given).await;
        let run = start.run;
        match started {
            Ok(_) => Ok(client.run_of(run)),
            Err(error) if is_refusal(&error) => Err(error.into()),
            Err(source) => Err(StartError::Unknown { run, source }),
        }
    }
}

/// How long a start is sent again to a store that does not answer.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Sends a start until the store answers: the id makes it one run. A store that keeps runs in several places may have
/// room for another id, as long as the run can be nowhere yet and nobody has `given` it its id.
pub(crate) async fn until_answered(
    store: &dyn Store,
    start: &mut Start,
    given: bool,
) -> Result<Started, StoreError> {
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
pub(crate) fn is_refusal(error: &StoreError) -> bool {
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
    let has = |other: &Flow| other.steps.keys().any(|worker| worker.as_str() == flow);
    let worker_of = registry.flows.values().filter(|other| has(other)).map(|other| other.name.to_string());
    let worker_of = worker_of.collect();
    StartError::NoFlow { flow, worker_of, near }
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
