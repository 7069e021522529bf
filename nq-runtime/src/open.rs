//! Opening a store and starting an instance.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nq_core::limits::{MAX_PAYLOAD_BYTES, duration_ms};
use nq_core::registry::WiringError;
use nq_core::store::{Retention, Store, StoreError};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::client::Client;
#[cfg(doc)]
use crate::data::Data;
use crate::data::{MissingData, Provided};
use crate::engine::{self, EngineHandle, Settings, Shared, Starting};
use crate::handler::{self, Handler, RegistryError};
use crate::link::Link;
use crate::{ask, ids, log, store};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A program could not be opened or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The workers that are linked are not those that are proven.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The workers do not fit together.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// A worker needs a value that the program does not provide.
    #[error("worker `{worker}`: {missing}")]
    Data {
        /// The worker.
        worker: &'static str,
        /// What it needs.
        missing: MissingData,
    },
    /// The engine's thread could not be started.
    #[error("the engine could not be started")]
    Thread(#[from] std::io::Error),
    /// There is no runtime to run workers on.
    #[error(
        "workers run on a tokio runtime, and there is none here: call this from `#[tokio::main]` or `#[tokio::test]`"
    )]
    NoRuntime,
}

/// Opens a store by its URL: `sqlite:PATH` (one file, made if it is not there), `memory:` (gone with the process), or
/// `redis://…` with the feature `redis`. Nothing runs before [`start`](Builder::start).
///
/// ```
/// # async fn example() -> nq::Result<()> {
/// let nq = nq::open("memory:").await?.start().await?;
/// nq.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub async fn open(url: &str) -> Result<Builder, OpenError> {
    ask::answer();
    Ok(Builder::new(store::open(url).await?))
}

/// An opened store, before it is known what works on it: the options of an instance.
///
/// ```
/// use std::time::Duration;
///
/// # async fn example() -> nq::Result<()> {
/// let nq = nq::open("memory:").await?
///     .lease(Duration::from_secs(10))
///     .grace(Duration::from_secs(20))
///     .concurrency(16)
///     .max_payload(64 * 1024)
///     .retention(Some(Duration::from_secs(24 * 60 * 60)), None)
///     .start().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing runs before `.start()`"]
pub struct Builder {
    store: Arc<dyn Store>,
    provided: Provided,
    lease: Duration,
    grace: Duration,
    concurrency: u32,
    max_payload: usize,
    retention: Retention,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Builder {
    /// Builds on a store that was opened otherwise.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use nq::store::memory::MemoryStore;
    ///
    /// # async fn example() -> nq::Result<()> {
    /// let store = Arc::new(MemoryStore::new());
    /// let nq = nq::Builder::new(store.clone()).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(store: Arc<dyn Store>) -> Self {
        ask::answer();
        let ms = |duration: Duration| Some(duration_ms(duration));
        Self {
            store,
            provided: Provided::default(),
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            concurrency: 100,
            max_payload: MAX_PAYLOAD_BYTES,
            retention: Retention { completed_ms: ms(7 * DAY), failed_ms: ms(30 * DAY) },
        }
    }

    /// Provides a value to workers, who take it as [`Data<T>`]; an `Arc<T>` provides `T`. A second one of the same type
    /// takes its place.
    ///
    /// ```
    /// # struct Bank;
    /// # async fn example() -> nq::Result<()> {
    /// let nq = nq::open("memory:").await?.data(Bank).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.provided.insert(value);
        self
    }

    /// How long a lease lasts before another instance may take the job over: 30 seconds if nothing is said.
    /// Renewed at a third. All instances of a store use the same.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// How long a shutdown takes at most: 25 seconds if nothing is said, well within the 30 that most supervisors
    /// wait before they kill. Running steps may finish meanwhile; the last fifth of the time, but no more than two
    /// seconds, is for handing back what has not finished. A shutdown whose grace period is shorter than a second
    /// still takes up to one to hand back, if the store is slow.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many steps of one worker this instance runs at a time where the worker does not say: 100 if
    /// nothing is said.
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The largest payload, state value or result, in bytes of JSON: 1 MiB if nothing is said, which is also
    /// the most.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes.min(MAX_PAYLOAD_BYTES);
        self
    }

    /// How long finished runs are kept: completed ones 7 days, others 30 days if nothing is said; `None` for
    /// ever. A run that is not finished is never removed.
    pub fn retention(mut self, completed: Option<Duration>, others: Option<Duration>) -> Self {
        self.retention =
            Retention { completed_ms: completed.map(duration_ms), failed_ms: others.map(duration_ms) };
        self
    }

    /// Starts an instance: it runs every worker of the program.
    ///
    /// Puts a panic hook before the one that the program has, once: it notes where a worker panics, for the error of the
    /// step, and calls the program's hook for this and every other panic.
    ///
    /// ```no_run
    /// # async fn example() -> nq::Result<()> {
    /// let nq = nq::open("sqlite:orders.db").await?.start().await?;
    /// // A process that only works waits here; the error says why its instance could not go on.
    /// nq.stopped().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::unused_async, reason = "an instance may have to ask its store before it starts")]
    pub async fn start(self) -> Result<Nq, OpenError> {
        let handle = Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let handlers = handler::linked()?;
        for handler in &handlers {
            let worker = handler.def.path;
            handler.check(&self.provided).map_err(|missing| OpenError::Data { worker, missing })?;
        }
        let client = self.connect(&handlers)?;
        engine::panics::note_places();
        let settings = Settings {
            instance: ids::instance_id(),
            lease: self.lease,
            grace: self.grace,
            concurrency: self.concurrency,
            retention: self.retention,
        };
        let (link, messages) = Link::to_engine();
        let client = client.told_by(link.clone());
        let shared = Arc::new(Shared {
            store: self.store.clone(),
            client: client.clone(),
            provided: Arc::new(self.provided),
            states: Arc::default(),
            link,
            max_payload: self.max_payload,
            dispatch: own_subscriber(),
        });
        let handlers: HashMap<_, _> =
            handlers.into_iter().map(|handler| (handler.def.path, handler)).collect();
        let registry = client.registry().clone();
        let engine = engine::spawn(settings, Starting { registry, handlers, shared, messages, handle })?;
        Ok(Nq { client, engine: Arc::new(engine), grace: self.grace })
    }

    /// Uses the store without running workers: starts runs for other instances, and looks at them. A program
    /// that has no workers can look at every run, and knows no flow to start.
    ///
    /// ```
    /// # async fn example() -> nq::Result<()> {
    /// let client = nq::open("memory:").await?.client()?;
    /// assert!(client.runs().all().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(self) -> Result<Client, OpenError> {
        let handlers = handler::linked_if_any()?;
        self.connect(&handlers)
    }

    fn connect(&self, handlers: &[&'static Handler]) -> Result<Client, OpenError> {
        let registry = Arc::new(handler::wired(handlers)?);
        Ok(Client::new(self.store.clone(), registry, self.max_payload))
    }
}

/// A subscriber for log lines of steps, where the program has none: they reach the timeline all the same.
fn own_subscriber() -> Option<tracing::Dispatch> {
    let none = tracing::dispatcher::get_default(tracing::Dispatch::is::<tracing::subscriber::NoSubscriber>);
    // A global filter, so that what is not kept costs nothing where it is said.
    let keeping = || tracing_subscriber::registry().with(LevelFilter::INFO).with(log::layer());
    none.then(|| tracing::Dispatch::new(keeping()))
}

/// A running instance. Starts runs and looks at them through the [`Client`] that it dereferences to.
///
/// Dropped without [`shutdown`](Self::shutdown), it hands back at once what it runs.
#[derive(Clone, Debug)]
pub struct Nq {
    client: Client,
    engine: Arc<EngineHandle>,
    grace: Duration,
}

impl Nq {
    /// Stops leasing, lets running steps finish within the grace period, hands back the others, and names
    /// them in the program's log. It returns within that period also where the store does not answer, with an error. An
    /// instance that has ended by itself says why.
    ///
    /// ```
    /// # async fn example() -> nq::Result<()> {
    /// let nq = nq::open("memory:").await?.start().await?;
    /// nq.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(self) -> Result<(), StoreError> {
        self.engine.stop(self.grace).await
    }

    /// Returns when the instance has ended by itself, with the reason: the store cannot be worked with any
    /// more, the runtime that its workers ran on is gone, or its engine has died. A store that is away for a while is
    /// waited for and ends nothing.
    pub async fn stopped(&self) -> Result<(), StoreError> {
        self.engine.stopped().await
    }
}

impl std::ops::Deref for Nq {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}
