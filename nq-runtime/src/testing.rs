//! What a test of a handler needs.

use std::sync::{Arc, Mutex};

use nq_core::decide::Attempt;
use nq_core::def::WorkerDef;
use nq_core::id::{EntryId, Name, RunId, StepId, step_key};
use nq_core::registry::{Registry, flows_of};
use tokio_util::sync::CancellationToken;

use crate::data::Provided;
use crate::engine::link::Link;
use crate::step::{Inner, Journal, Step};
use crate::store::memory::MemoryStore;

/// A step of this worker that belongs to no engine: what it does is buffered and goes nowhere.
pub(crate) fn step(def: &'static WorkerDef) -> Step {
    let fixed = "the names of a worker are checked when it is compiled";
    let registry = Registry::new([def], []).expect(fixed);
    let flow = flows_of(def).next().and_then(|flow| registry.flow(flow)).expect(fixed).clone();
    let (run, worker) = (RunId::new("test").expect(fixed), Name::new(def.name).expect(fixed));
    let attempt = Attempt {
        key: step_key(&run, &worker, &[]),
        step: StepId::new(worker, EntryId { ms: 0, n: 1 }),
        run,
        fence: 1,
        number: 1,
        failures: 0,
    };
    Step {
        inner: Arc::new(Inner {
            attempt,
            flow,
            def,
            inputs: Vec::new(),
            provided: Arc::new(Provided::default()),
            store: Arc::new(MemoryStore::new()),
            states: Arc::default(),
            link: Link::Detached,
            stop: CancellationToken::new(),
            max_payload: nq_core::limits::MAX_PAYLOAD_BYTES,
            journal: Mutex::new(Journal::default()),
            base: tokio::sync::Mutex::new(Some(Arc::default())),
        }),
    }
}
