//! The context with which a test calls a handler.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use nq_core::bounds::Worker;
use nq_core::decide::{Attempt, OperationKind};
use nq_core::def::Event;
use nq_core::id::{EntryId, Name, RunId, StepId, step_key};
use nq_core::registry::Registry;
use nq_core::state::State;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::ctx::Ctx;
use crate::data::Provided;
use crate::link::Link;
use crate::step::{Inner, Journal, Step};
use crate::store::memory::MemoryStore;

/// Builds a context with which a test calls a handler, as for a later attempt, or for a step in the middle of a run. Made
/// by [`Ctx::test`].
#[must_use = "a handler takes what `.build()` makes"]
pub struct TestCtx<W> {
    attempt: u32,
    recorded: HashMap<String, VecDeque<Value>>,
    state: BTreeMap<String, Value>,
    stop: CancellationToken,
    worker: PhantomData<fn() -> W>,
}

impl<W> std::fmt::Debug for TestCtx<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempt, recorded, state, .. } = self;
        let mut shown = f.debug_struct("TestCtx");
        shown.field("attempt", attempt).field("recorded", recorded).field("state", state).finish()
    }
}

impl<W: Worker> Ctx<W> {
    /// A context with which a test calls a handler: nothing is stored, `run` calls its closure, and the state begins empty.
    /// [`emitted`](Self::emitted) and `state()` show what the handler did.
    ///
    /// ```
    /// # use nq::prelude::*;
    /// # #[nq::event]
    /// # struct OrderPlaced { order: u64 }
    /// # async fn charge<W: nq::Worker>(order: OrderPlaced, ctx: Ctx<W>) -> nq::Result<()> {
    /// #     Ok(ctx.state().set("order", &order.order)?)
    /// # }
    /// # async fn example<W: nq::Worker>() {
    /// let ctx = Ctx::for_test();
    /// # let ctx: Ctx<W> = ctx;
    /// charge(OrderPlaced { order: 7 }, ctx.clone()).await.unwrap();
    /// assert_eq!(ctx.state().get::<u64>("order").await.unwrap(), Some(7));
    /// # }
    /// ```
    pub fn for_test() -> Self {
        Self::test().build()
    }

    /// Builds such a context for a later attempt, or for a step in the middle of a run: say what happened before, then
    /// `build`.
    ///
    /// ```
    /// # use nq::prelude::*;
    /// # #[nq::event]
    /// # struct OrderPlaced { order: u64 }
    /// # async fn charge<W: nq::Worker>(order: OrderPlaced, ctx: Ctx<W>) -> nq::Result<String> {
    /// #     Ok(ctx.run("charge card", || async { nq::Ok(String::new()) }).await?)
    /// # }
    /// # async fn example<W: nq::Worker>() {
    /// // The attempt before was killed after the card was charged.
    /// let ctx = Ctx::test().attempt(2).recorded("charge card", "receipt 1").state("customer", 9).build();
    /// # let ctx: Ctx<W> = ctx;
    /// let receipt = charge(OrderPlaced { order: 7 }, ctx.clone()).await.unwrap();
    /// assert_eq!(receipt, "receipt 1");
    /// # }
    /// ```
    pub fn test() -> TestCtx<W> {
        TestCtx::new()
    }

    /// The events of this type that the handler has emitted, in order.
    ///
    /// ```
    /// # #[nq::event]
    /// # struct OrderPaid { receipt: String }
    /// # async fn charge<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> { Ok(()) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// charge(ctx.clone()).await.unwrap();
    /// let receipts: Vec<_> = ctx.emitted::<OrderPaid>().into_iter().map(|paid| paid.receipt).collect();
    /// assert_eq!(receipts, ["r-17"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn emitted<E: Event>(&self) -> Vec<E> {
        let of_type = |kind| match kind {
            OperationKind::Emit { event, payload } if *event == *E::DEF.name => {
                serde_json::from_value(payload).ok()
            }
            _ => None,
        };
        self.step.buffered().into_iter().filter_map(|operation| of_type(operation.kind)).collect()
    }
}

/// A value of a test as JSON.
fn json(what: &str, value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| panic!("{what} cannot be written as JSON: {error}"))
}

impl<W: Worker> TestCtx<W> {
    pub(crate) fn new() -> Self {
        Self {
            attempt: 1,
            recorded: HashMap::new(),
            state: BTreeMap::new(),
            stop: CancellationToken::new(),
            worker: PhantomData,
        }
    }

    /// The number of the attempt, from 1, which is also the default.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>() {
    /// let ctx = nq::Ctx::test().attempt(3).build();
    /// # let ctx: nq::Ctx<W> = ctx;
    /// assert_eq!(ctx.attempt(), 3);
    /// # }
    /// ```
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number.max(1);
        self
    }

    /// Adds an effect that an earlier attempt has recorded: [`Ctx::run`] with this name returns this result and does not
    /// call its closure. With several results for one name, the first call gets the first result, the second call the
    /// second, and calls after the last result run their closures. See [`Ctx::test`] for an example.
    ///
    /// # Panics
    ///
    /// If the result is not JSON.
    pub fn recorded(mut self, effect: impl Into<String>, result: impl Serialize) -> Self {
        let effect = effect.into();
        let result = json(&format!("the result of `{effect}`"), result);
        self.recorded.entry(effect).or_default().push_back(result);
        self
    }

    /// Adds a key that earlier steps of the run have set in its state. See [`Ctx::test`] for an example.
    ///
    /// # Panics
    ///
    /// If the value is not JSON.
    pub fn state(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let key = key.into();
        let value = json(&format!("the state `{key}`"), value);
        self.state.insert(key, value);
        self
    }

    /// Tells the step to stop from the beginning: [`Ctx::is_stopping`] is true.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>() -> nq::Result<()> {
    /// let ctx = nq::Ctx::test().stopping().build();
    /// # let ctx: nq::Ctx<W> = ctx;
    /// assert!(ctx.is_stopping());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stopping(self) -> Self {
        self.stop.cancel();
        self
    }

    /// Builds the context. See [`Ctx::test`] for an example.
    pub fn build(self) -> Ctx<W> {
        Ctx::new(self.step())
    }

    /// A step without an engine: its operations are buffered and never sent.
    fn step(self) -> Step {
        let def = W::DEF;
        let fixed = "the names of a worker are checked when it is compiled";
        let registry = Arc::new(Registry::new([def], []).expect(fixed));
        let flow = def.flow_names().next().and_then(|flow| registry.flow(flow)).expect(fixed).clone();
        let (run, name) = (RunId::new("test").expect(fixed), Name::new(def.name).expect(fixed));
        let attempt = Attempt {
            key: step_key(&run, &name, &[]),
            step: StepId::new(name, EntryId { ms: 0, n: 1 }),
            run,
            fence: 1,
            number: self.attempt,
            failures: self.attempt - 1,
        };
        let store = Arc::new(MemoryStore::new());
        let max_payload = nq_core::limits::MAX_PAYLOAD_BYTES;
        Step {
            inner: Arc::new(Inner {
                attempt,
                flow,
                worker: Arc::new(def.into()),
                inputs: Vec::new(),
                provided: Arc::new(Provided::default()),
                client: Client::new(store.clone(), registry, max_payload),
                store,
                states: Arc::default(),
                link: Link::Detached,
                stop: self.stop,
                max_payload,
                journal: Mutex::new(Journal::of_test(self.recorded)),
                results: Mutex::default(),
                base: tokio::sync::Mutex::new(Some(Arc::new(State { map: self.state, at: 0 }))),
            }),
        }
    }
}
