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
    /// The workers that are linked differ from those that rustc has proven.
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

/// An opened store with the options of an instance, before [`start`](Self::start) or [`client`](Self::client).
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
    /// Builds on a store that was opened in another way.
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

    /// Provides a value to workers, as the parameter [`Data<T>`]. An `Arc<T>` provides `Data<T>`, too. A later value of the
    /// same type replaces it.
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

    /// How long a lease lasts before another instance may take the job over: 30 seconds by default. The engine renews a
    /// lease after a third of it. All instances of a store use the same. See [`Builder`](Self) for an example.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// How long a shutdown takes at most: 25 seconds by default, well within the 30 that most supervisors wait before
    /// they kill. Running steps may finish meanwhile. The last fifth of the time, but no more than two seconds, is for
    /// handing back the steps that have not finished; if the store is slow, this takes up to a second even where the grace
    /// period is shorter. See [`Builder`](Self) for an example.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many steps of one worker this instance runs at a time, if the worker has no `concurrency`: 100 by default. See
    /// [`Builder`](Self) for an example.
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The largest payload, state value or result, in bytes of JSON: 1 MiB by default, which is also the most. See
    /// [`Builder`](Self) for an example.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes.min(MAX_PAYLOAD_BYTES);
        self
    }

    /// How long finished runs are kept: by default completed ones 7 days, others 30 days; `None` for ever. A run that is
    /// not finished is never removed. See [`Builder`](Self) for an example.
    pub fn retention(mut self, completed: Option<Duration>, others: Option<Duration>) -> Self {
        self.retention =
            Retention { completed_ms: completed.map(duration_ms), failed_ms: others.map(duration_ms) };
        self
    }

    /// Starts an instance: it runs every worker of the program.
    ///
    /// The first call in a process installs a panic hook. The hook notes where a worker panics, for the error of the step,
    /// and then calls the program's own hook, as for every other panic.
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

    /// Uses the store without running workers: starts runs for other instances, and looks at them. A program without
    /// workers can look at every run, but has no flow to start.
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

/// A subscriber for the log lines of steps if the program has none, so that they reach the timeline anyway.
fn own_subscriber() -> Option<tracing::Dispatch> {
    let none = tracing::dispatcher::get_default(tracing::Dispatch::is::<tracing::subscriber::NoSubscriber>);
    // The filter is global, so that an event which is not kept costs nothing.
    let keeping = || tracing_subscriber::registry().with(LevelFilter::INFO).with(log::layer());
    none.then(|| tracing::Dispatch::new(keeping()))
}

/// A running instance. Starts runs and looks at them through the [`Client`] that it dereferences to.
///
/// If it is dropped without [`shutdown`](Self::shutdown), it hands back the running steps at once.
#[derive(Clone, Debug)]
pub struct Nq {
    client: Client,
    engine: Arc<EngineHandle>,
    grace: Duration,
}

impl Nq {
    /// Stops leasing, lets running steps finish within the grace period, hands back the others, and names them in the
    /// program's log. If the store does not answer, it returns an error within that period. If the instance has ended by
    /// itself, the error says why.
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

    /// Returns when the instance has ended by itself, with the reason: the store is of no use any more, the runtime of the
    /// workers is gone, or the engine has died. A store that is away for a while does not end the instance, which waits for
    /// it. See [`Builder::start`] for an example.
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
