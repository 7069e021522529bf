//! A store, seen by a program: starts runs, and looks at runs and queues.

mod error;
mod jobs;
mod near;
mod parts;
mod runs;
mod schema;
mod start;

use std::sync::Arc;

use nq_core::bounds::{InputOf, Worker};
use nq_core::id::{IdError, RunId};
use nq_core::registry::Registry;
use nq_core::store::Store;
use serde_json::Value;

pub use self::error::{StartError, Violation};
pub use self::jobs::QueueError;
use self::parts::Parts;
pub use self::runs::{Runs, RunsError};
pub use self::start::{FlowRef, StartRun};
use crate::link::Link;
use crate::run::Run;

/// A store, seen by a program: starts runs and looks at them. Cheap to clone.
///
/// A program that runs workers has a client in its [`Nq`](crate::open::Nq); a program without workers makes one with
/// [`Builder::client`](crate::open::Builder::client). A worker takes a client as a parameter, to start runs of other
/// flows. A repeated attempt must not start them again, so the worker makes their ids from the idempotency key:
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
    parts: Arc<Parts>,
}

impl Client {
    pub(crate) fn new(store: Arc<dyn Store>, registry: Arc<Registry>, max_payload: usize) -> Self {
        Self { parts: Arc::new(Parts::new(store, registry, max_payload, Link::Detached)) }
    }

    /// The same client, which tells the engine at the other end of this link what it does to runs.
    pub(crate) fn told_by(&self, link: Link) -> Self {
        let Parts { store, registry, max_payload, .. } = &*self.parts;
        Self { parts: Arc::new(Parts::new(store.clone(), registry.clone(), *max_payload, link)) }
    }

    /// Starts a run of the worker's flow at this worker. Await it; before that, [`id`](StartRun::id) may give the run an
    /// id. When the await returns, the run is in the store and will not be lost.
    ///
    /// If the store does not answer, the start is sent again for ten seconds; the error is then [`StartError::Unknown`],
    /// with the id under which the run may have begun.
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
        let mut flows = W::DEF.flow_names();
        let flow = flows.next().unwrap_or_default();
        if flows.next().is_some() {
            let worker = W::DEF.name.to_owned();
            let flows = W::DEF.flow_names().map(ToOwned::to_owned).collect();
            return StartRun::refused(&self.parts, StartError::SeveralFlows { worker, flows });
        }
        self.flow(flow).start::<W>(input)
    }

    /// Starts a run of a flow with an input from elsewhere. Before anything is stored, the input is checked against the
    /// JSON Schema of the event that the flow begins with, and read as that event.
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
        FlowRef::new(&self.parts, name)
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
        Ok(self.parts.run(RunId::new(id)?))
    }

    /// Every worker, event and flow of the program.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for flow in nq.registry().flows.keys() {
    ///     println!("{flow}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn registry(&self) -> &Arc<Registry> {
        &self.parts.registry
    }

    /// The store itself.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let nq = nq::Builder::new(nq.store().clone()).concurrency(4).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }
}
