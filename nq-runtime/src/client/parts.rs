//! What a client is made of.

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
    /// What inputs from elsewhere are checked against.
    pub(super) schemas: Schemas,
    /// The engine of the instance that it belongs to, which hears at once what is done to a run through it.
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
