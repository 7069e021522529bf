//! The store under test, and what a test may do to it beyond the contract.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::{RunId, StepId};
use crate::store::Store;

/// A clock that a test moves.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// A clock that stands somewhere in 2023.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_700_000_000_000)))
    }

    /// What it shows, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it on.
    pub fn advance(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Moves it back.
    pub fn go_back(&self, by_ms: u64) {
        self.0.fetch_sub(by_ms, Ordering::SeqCst);
    }
}

pub(super) type Reopen = Box<dyn FnMut() -> Opening + Send>;
type Opening = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>>;

/// Something that a store keeps, and that a test damages.
#[derive(Clone, Debug)]
pub enum Stored {
    /// The data of an entry, and every copy of them.
    Entry {
        /// The run.
        run: RunId,
        /// The position in its timeline.
        n: u64,
        /// What stands there instead of the data.
        data: String,
    },
    /// The record of a job.
    Job {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
    },
}

pub(super) type Damage = Box<dyn Fn(Stored) + Send + Sync>;

/// An empty store under test.
pub struct Subject {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Option<Arc<TestClock>>,
    pub(super) reopen: Option<Reopen>,
    pub(super) damage: Option<Damage>,
    pub(super) lossy: bool,
    pub(super) kept: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// A store that goes by a clock that no test can move.
    pub fn real(store: Arc<dyn Store>) -> Self {
        Self { store, clock: None, reopen: None, damage: None, lossy: false, kept: Vec::new() }
    }

    /// A store that goes by this clock.
    pub fn with_clock(store: Arc<dyn Store>, clock: Arc<TestClock>) -> Self {
        Self { clock: Some(clock), ..Self::real(store) }
    }

    /// For a store that keeps its data: `open` opens it again after it was dropped.
    #[must_use]
    pub fn reopen<F>(mut self, mut open: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        self.reopen = Some(Box::new(move || Box::pin(open())));
        self
    }

    /// For a store whose data a test can damage: `damage` overwrites them where they are stored.
    #[must_use]
    pub fn damage(mut self, damage: impl Fn(Stored) + Send + Sync + 'static) -> Self {
        self.damage = Some(Box::new(damage));
        self
    }

    /// The store loses calls and replies on purpose, so that the counts of ticks do not add up.
    #[must_use]
    pub fn lossy(mut self) -> Self {
        self.lossy = true;
        self
    }

    /// Keeps this, a folder or a server, until the case is over.
    #[must_use]
    pub fn keep(mut self, what: impl Any + Send) -> Self {
        self.kept.push(Box::new(what));
        self
    }
}
