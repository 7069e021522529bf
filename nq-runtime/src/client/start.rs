//! Starting runs.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use nq_core::bounds::{InputOf, Worker};
use nq_core::decide;
use nq_core::def::WorkerDef;
use nq_core::id::{MAX_ID_LEN, Name, RunId};
use nq_core::limits;
use nq_core::registry::{Flow, FlowStep, Registry};
use nq_core::value::{self, ValueError, Written};
use serde_json::Value;

use super::error::StartError;
use super::near::nearest;
use super::parts::Parts;
use crate::ids;
use crate::run::Run;
use crate::starting::{begin, is_refusal};

/// A flow of the program, by name.
#[derive(Clone, Debug)]
pub struct FlowRef<'a> {
    parts: &'a Parts,
    name: String,
}

impl<'a> FlowRef<'a> {
    pub(super) fn new(parts: &'a Parts, name: &str) -> Self {
        Self { parts, name: name.to_owned() }
    }

    /// Starts a run of this flow at this worker. Await it.
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
    pub fn start<W: Worker>(&self, input: impl InputOf<W>) -> StartRun<'a> {
        let written = value::write(&input).map_err(|error| {
            value::give_up(input, &error);
            refused(error)
        });
        StartRun::new(self, Some(W::DEF), written, false)
    }

    /// Starts a run of this flow with an input from elsewhere. Await it.
    ///
    /// ```
    /// # async fn example(nq: nq::Client, body: nq::Json) -> nq::Result<()> {
    /// let run = nq.flow("order").start_json(body).await?;
    /// # Ok(())
    /// # }
    /// ```
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
    parts: &'a Parts,
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
        Self { parts: flow.parts, flow: flow.name.clone(), entry, input, validate, id: None }
    }

    pub(super) fn refused(parts: &'a Parts, error: StartError) -> Self {
        Self { parts, flow: String::new(), entry: None, input: Err(error), validate: false, id: None }
    }

    /// Gives the run this id, of 1 to 200 bytes without white space. A second start with the same id and input starts
    /// nothing and returns the run; with another input it is an error. An id that ends in `~` and digits is an error, too:
    /// only [reruns](crate::run::Run::rerun) have such ids.
    ///
    /// ```
    /// # async fn example(nq: nq::Client, body: nq::Json) -> nq::Result<()> {
    /// let run = nq.start_json("order", body.clone()).id("order-7").await?;
    /// let found = nq.start_json("order", body).id("order-7").await?;
    /// assert_eq!(run.id(), found.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Names the entry worker, where the flow has several.
    ///
    /// ```
    /// # async fn example(nq: nq::Client, body: nq::Json) -> nq::Result<()> {
    /// let run = nq.start_json("order", body).entry("import_order").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn entry(mut self, entry: impl Into<String>) -> Self {
        self.entry = Some(entry.into());
        self
    }

    async fn begin(self) -> Result<Run, StartError> {
        let (parts, Written { value: input, bytes }) = (self.parts, self.input?);
        let flow = parts.registry.flow(&self.flow).ok_or_else(|| no_flow(&parts.registry, &self.flow))?;
        let step = entry(flow, self.entry.as_deref())?;
        let limit = parts.max_payload;
        if bytes > limit {
            return Err(StartError::TooLarge { bytes, limit });
        }
        if self.validate {
            parts.schemas.check(step, &input)?;
        }
        let chosen = self.id.is_some();
        let run = self.id.map_or_else(|| Ok(ids::run_id()), RunId::chosen)?;
        let mut start = decide::start(flow, step, run, input, &parts.registry.hash);
        let started = begin(&*parts.store, parts.link(), &mut start, bytes, chosen).await;
        let run = start.run;
        match started {
            Ok(_) => Ok(parts.run(run)),
            Err(error) if is_refusal(&error) => Err(error.into()),
            Err(source) => Err(StartError::Unknown { run, source }),
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
    // A name from outside may be of any length.
    let flow = limits::cut_to(flow, MAX_ID_LEN);
    let near = nearest(&flow, registry.flows.keys().map(Name::as_str));
    let has = |other: &Flow| other.steps.keys().any(|worker| worker.as_str() == flow);
    let worker_of = registry.flows.values().filter(|other| has(other)).map(|other| other.name.to_string());
    let worker_of = worker_of.collect();
    StartError::NoFlow { flow, worker_of, near }
}

fn entry<'f>(flow: &'f Flow, name: Option<&str>) -> Result<&'f FlowStep, StartError> {
    let mut entries = flow.entries().filter(|step| name.is_none_or(|name| step.worker.name == name));
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(StartError::NoEntry {
            flow: flow.name.to_string(),
            entries: flow.entries().map(|step| step.worker.name.clone()).collect(),
        }),
    }
}

fn refused(error: ValueError) -> StartError {
    match error {
        ValueError::TooDeep { pointer } => StartError::TooDeep { pointer, limit: limits::MAX_DEPTH },
        other => StartError::NotJson(other.to_string()),
    }
}
