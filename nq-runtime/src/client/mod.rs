//! A store, seen by a program: starts runs, and looks at runs and queues.

mod error;
mod jobs;
mod near;
mod runs;
mod schema;
mod start;

use std::sync::Arc;

use nq_core::id::{IdError, RunId};
use nq_core::registry::Registry;
use nq_core::store::Store;

pub use self::error::{StartError, Violation};
pub use self::jobs::QueueError;
pub use self::runs::{Runs, RunsError};
use self::schema::Schemas;
pub use self::start::{FlowRef, StartRun};
pub(crate) use self::start::{is_refusal, until_answered};
use crate::engine::link::Link;
use crate::open::Builder;
use crate::run::Run;
use crate::store::memory::MemoryStore;

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
    /// What inputs from elsewhere are checked against.
    schemas: Arc<Schemas>,
    /// The engine of the instance that it belongs to, which hears at once what is done to a run through it.
    link: Link,
}

impl Client {
    pub(crate) fn new(store: Arc<dyn Store>, registry: Arc<Registry>, max_payload: usize) -> Self {
        let schemas = Arc::new(Schemas::new(&registry));
        Self { store, registry, max_payload, schemas, link: Link::Detached }
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
        Ok(self.run_of(RunId::new(id)?))
    }

    fn run_of(&self, id: RunId) -> Run {
        Run::new(self.store.clone(), self.registry.clone(), id, self.link.clone())
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
