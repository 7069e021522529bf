//! The macros, with their documentation.

/// Makes a struct or enum a part of events, states and results: it adds the derives of serde and schemars that are
/// not there yet, so that a program needs neither of them among its dependencies.
///
/// It stands above `#[serde(…)]` attributes. If the type is the argument of a generic event, its name is a part of the
/// event's name: the name of the type in lower case with dots, or `name = "…"`. `crate = path` says where nq is.
///
/// ```
/// #[nq::data]
/// pub struct Line {
///     pub article: String,
///     pub count: u32,
/// }
///
/// #[nq::event]
/// pub struct OrderPlaced {
///     pub lines: Vec<Line>,
/// }
/// ```
pub use nq_macros::data;
/// Makes a struct or enum an event: a payload with a name and a JSON Schema.
///
/// It adds the derives of serde and schemars that are not there yet, and implements [`Event`](crate::Event). It
/// stands above `#[serde(…)]` attributes. The name is that of the type, in lower case with dots: `OrderPaid` is
/// `order.paid`. It is persisted, so it stays when the type is renamed:
///
/// - `name = "…"` sets it.
/// - `crate = path` says where nq is, where it is not a dependency of the crate itself.
///
/// ```
/// #[nq::event(name = "order.paid")]
/// pub struct Paid {
///     pub order: u64,
/// }
/// ```
///
/// A type in one of its fields is a number, a text, a collection, a type under [`data`](macro@crate::data), or any
/// other with `Serialize`, `Deserialize` and `JsonSchema`.
///
/// A generic type is an event for each set of arguments, with a name of its own: `Envelope<u32>` is `envelope<u32>`,
/// `Envelope<OrderPaid>` is `envelope<order.paid>`. The arguments are events, types under `#[nq::data]`, numbers,
/// texts and collections of these.
pub use nq_macros::event;
/// Makes an enum the input of a worker that subscribes to several events: it writes `From` for each variant.
///
/// ```
/// #[nq::event]
/// pub struct OrderPaid {}
/// #[nq::event]
/// pub struct OrderGiven {}
///
/// #[nq::input]
/// pub enum Ready {
///     Paid(OrderPaid),
///     Given(OrderGiven),
/// }
///
/// let ready: Ready = OrderGiven {}.into();
/// ```
pub use nq_macros::input;
/// Proves the wiring of all workers of a crate, once, in the crate root.
///
/// - `nq::registry!();` finds the workers in all modules of the crate.
/// - `nq::registry!(include = [shipping, billing]);` adds those of libraries.
/// - `nq::registry!(library);` is what such a library says: what is missing in it may be in the program that
///   includes it.
/// - `nq::registry!(also = [steps::charge]);` adds workers that no file shows, because a macro makes them.
/// - `nq::registry![charge, ship];` lists workers by hand, which a doctest has to do.
/// - `crate = path` says where nq is, where it is not a dependency of the crate itself.
///
/// Where rustc refuses a program, the error says what to write; each rule has a page in the repository, in
/// `docs/errors`.
///
/// ```
/// use nq::prelude::*;
///
/// #[nq::event]
/// pub struct OrderPlaced {}
/// #[nq::event]
/// pub struct OrderPaid {}
///
/// #[nq::worker(flow = "order", emits = [OrderPaid])]
/// async fn charge(_order: OrderPlaced, ctx: Ctx<charge>) -> nq::Result<()> {
///     ctx.emit(OrderPaid {})?;
///     Ok(())
/// }
///
/// #[nq::worker(flow = "order", subscribes = [OrderPaid])]
/// async fn ship(_paid: OrderPaid) {}
///
/// nq::registry![charge, ship];
///
/// fn main() {}
/// ```
pub use nq_macros::registry;
/// Makes an `async fn` a worker: a step of a flow.
///
/// The function stays as it is written, callable from a unit test. Beside it stands a type of the same name,
/// as in `Ctx<charge>`. The first parameter is the input; the others are made from the step: see
/// [`Extract`](crate::Extract). It returns nothing, or a `Result` with any error; the value is kept as the step's
/// result.
///
/// | option | |
/// |---|---|
/// | `flow = "order"`, `flows = ["order", "refund"]` | the flows that it is a step of; without one it is a plain queue worker |
/// | `name = "charge"` | its name, which is persisted; that of the function if nothing is said |
/// | `was = ["old_name"]` | its former names, also as `"flow/name"`: it takes over the runs that wait for them |
/// | `type = Charge` | the name of the type beside the function |
/// | `queue = "money"` | a queue that it shares limits with others in |
/// | `emits = [OrderPaid]` | what it may emit |
/// | `subscribes = [A, B]` | runs for each `A` and each `B`; the input is `From` both |
/// | `joins = [A, B]`, `by = "order"` | runs once for an `A` and a `B`, paired by arrival or by a field that both have; the input is `(A, B)` |
/// | `gathers = [E]` | runs once, when no more `E` can come; the input is `Vec<E>` |
/// | `retries = 3` | how many attempts may follow the first |
/// | `backoff = exponential("1s", max = "5m")`, `fixed("10s")` | how long to wait between attempts |
/// | `timeout = "30s"` | the longest that an attempt may take |
/// | `concurrency = 8` | how many of its steps one instance runs at a time |
/// | `max_crashes = 5` | how often it may take its process down with it |
/// | `on_failure = "continue"` | the run goes on without it |
/// | `crate = path` | where nq is, where it is not a dependency of the crate itself |
///
/// Numbers and durations may also be constants of the program: `retries = MAX_RETRIES` with a `const MAX_RETRIES: u32`,
/// `timeout = TIMEOUT` with a `const TIMEOUT: Duration`. Names and lists are part of the proof, and are written out.
///
/// `by` compares values by meaning: objects whatever the order of their keys, and `1` is `1.0`, but not `"1"`. An event
/// whose field is missing or `null` pairs with nothing; a warning in the timeline says so.
///
/// Events are types under [`event`](macro@crate::event), or strings for untyped ones. A worker with none of
/// `subscribes`, `joins` and `gathers` is an entry: runs start with it.
///
/// [`registry!`](crate::registry) has an example.
pub use nq_macros::worker;
