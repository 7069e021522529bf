//! The data that all clones of a client share.

use std::sync::Arc;

use nq_core::id::RunId;
use nq_core::registry::Registry;
use nq_core::store::Store;

use super::schema::Schemas;
use crate::link::Link;
use crate::run::Run;

/// What all clones of a client share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Arc<Registry>,
    pub(super) max_payload: usize,
    /// The schemas against which inputs from elsewhere are checked.
    pub(super) schemas: Schemas,
    /// The way to the engine of the client's instance: when the client ends a run, the engine is told at once.
    link: Link,
}

impl Parts {
    pub(super) fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        max_payload: usize,
        link: Link,
    ) -> Self {
        let schemas = Schemas::new(&registry);
        Self { store, registry, max_payload, schemas, link }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The run of this id.
    pub(super) fn run(&self, id: RunId) -> Run {
        Run::new(self.store.clone(), self.registry.clone(), id, self.link.clone())
    }
}
