//! What events are made of: their fields, their parts, the arguments of generic ones, and by what joined events pair.
//! That it compiles is half of the test.

mod support {
    pub(crate) mod stores;
}
#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use nq::prelude::*;
use nq::{Entry, EntryType, Event, Json, Nq};
use serde_json::json;

nq::registry!();

async fn on_each_store(test: impl AsyncFn(&Nq)) {
    support::stores::on_each_store(|builder| builder, &test).await;
    #[cfg(feature = "redis")]
    {
        let server = redis::RedisServer::start(redis::EVERY_SECOND);
        let nq = nq::open(&server.url("")).await.unwrap().start().await.unwrap();
        test(&nq).await;
        nq.shutdown().await.unwrap();
    }
}

// By what joined events pair.

#[nq::event]
struct Deal {
    left: Vec<Json>,
    right: Vec<Json>,
}

#[nq::worker(flow = "pair", emits = ["left", "right"])]
async fn deal(deal: Deal, ctx: Ctx<deal>) -> nq::Result<()> {
    for payload in deal.left {
        ctx.emit_named("left", payload)?;
    }
    for payload in deal.right {
        ctx.emit_named("right", payload)?;
    }
    Ok(())
}

#[nq::worker(flow = "pair", joins = ["left", "right"], by = "key")]
async fn pair((left, right): (Json, Json)) -> nq::Result<String> {
    Ok(format!("{}{}", left["n"], right["n"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_pair_by_meaning_and_what_has_none_pairs_with_nothing() {
    on_each_store(async |nq| {
        let left = vec![
            json!({ "key": { "a": 1, "b": [{ "c": 2 }] }, "n": 1 }),
            json!({ "n": 2 }),
            json!({ "key": null, "n": 3 }),
            json!({ "key": 7, "n": 4 }),
            json!({ "key": "8", "n": 5 }),
            json!([6]),
        ];
        let right = vec![
            json!({ "n": 2 }),
            json!({ "key": null, "n": 3 }),
            json!({ "key": 7.0, "n": 4 }),
            json!({ "key": 8, "n": 5 }),
            json!({ "key": { "b": [{ "c": 2.0 }], "a": 1 }, "n": 1 }),
            json!("text"),
        ];
        let run = nq.start::<deal>(Deal { left, right }).await.unwrap();
        run.completed().await.unwrap();
        let entries = run.entries(Vec::new()).await.unwrap();
        let of = |kind: EntryType| entries.iter().filter(move |entry| entry.kind == kind);
        let results: BTreeSet<_> =
            of(EntryType::StepCompleted).filter_map(|entry| entry.data["result"].as_str()).collect();
        assert_eq!(results, BTreeSet::from(["11", "44"]));
        let ended = of(EntryType::FlowCompleted).next().unwrap();
        assert_eq!(ended.data["unpaired"].as_array().unwrap().len(), 8, "{ended:?}");
        // The timeline says it once for each kind of event, after the first event of the kind.
        let warnings: Vec<&Entry> = of(EntryType::LogWarn).collect();
        let said: Vec<_> = warnings.iter().map(|entry| entry.data["message"].as_str().unwrap()).collect();
        assert_eq!(
            said,
            [
                "`left` pairs with nothing: worker `pair` joins by `key`, which has no value here",
                "`right` pairs with nothing: worker `pair` joins by `key`, which has no value here"
            ]
        );
        assert_eq!(warnings[0].data["fields"], json!({ "event": "left", "worker": "pair", "by": "key" }));
        assert_eq!(warnings[0].step.as_ref().unwrap().worker().as_str(), "deal");
    })
    .await;
}

// Parts of events, with nothing but nq.

#[nq::data]
#[derive(Clone, Debug, PartialEq)]
struct Line {
    article: String,
    size: Option<Size>,
}

#[nq::data(name = "size-of")]
#[derive(Clone, Debug, PartialEq)]
enum Size {
    Small,
    Cut { cm: u32 },
}

/// Two types that hold each other.
#[nq::data]
#[derive(Clone, Debug, PartialEq)]
struct Node {
    edges: Vec<Edge>,
    twin: Option<Box<Node>>,
}
#[nq::data]
#[derive(Clone, Debug, PartialEq)]
struct Edge {
    to: Node,
}

#[nq::data]
#[derive(Clone, Debug, PartialEq)]
struct Page<T> {
    items: Vec<T>,
}

#[nq::event]
#[derive(Clone)]
struct OrderPlaced {
    lines: Vec<Line>,
    root: Node,
    by_name: HashMap<String, (Line, [u8; 2])>,
    pages: Page<Line>,
    #[serde(with = "as_text")]
    #[schemars(with = "String")]
    plain: Plain,
    #[serde(skip)]
    _skipped: Plain,
}

/// This type needs no derive of its own, since its fields say how they are written.
#[derive(Clone, Default)]
struct Plain;

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(_: &super::Plain, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("plain")
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<super::Plain, D::Error> {
        String::deserialize(deserializer).map(|_| super::Plain)
    }
}

// Generic events.

#[nq::event]
struct Envelope<T> {
    inner: T,
}

#[nq::event(name = "batch-of")]
#[serde(bound(deserialize = "T: serde::de::DeserializeOwned"))]
struct Batch<T, const N: usize>
where
    T: Clone,
{
    items: Vec<T>,
}

const MOST: u32 = 2;
mod limits {
    use std::time::Duration;

    pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
}

#[nq::worker(
    flow = "generic",
    emits = [Envelope<u32>, Envelope<Page<Line>>, Batch<Size, 3>],
    retries = MOST,
    concurrency = MOST as u32 + 1,
    max_crashes = self::MOST,
    timeout = limits::TIMEOUT,
    backoff = exponential(Duration::from_millis(5), max = limits::TIMEOUT),
)]
async fn wrap(order: OrderPlaced, ctx: Ctx<wrap>) -> nq::Result<Vec<Line>> {
    ctx.emit(Envelope { inner: 7_u32 })?;
    ctx.emit(Envelope { inner: Page { items: order.lines.clone() } })?;
    ctx.emit(Batch::<Size, 3> { items: vec![Size::Small, Size::Cut { cm: 4 }] })?;
    Ok(order.lines)
}

#[nq::worker(flow = "generic", subscribes = [Envelope<u32>], backoff = fixed(limits::TIMEOUT))]
async fn number(number: Envelope<u32>) -> nq::Result<u32> {
    Ok(number.inner)
}

#[nq::worker(flow = "generic", joins = [Envelope<Page<Line>>, Batch<Size, 3>], backoff = exponential(limits::TIMEOUT))]
async fn both((page, batch): (Envelope<Page<Line>>, Batch<Size, 3>)) -> nq::Result<usize> {
    Ok(page.inner.items.len() * 10 + batch.items.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn generic_events_flow_by_type() {
    on_each_store(async |nq| {
        let line = Line { article: "hat".into(), size: Some(Size::Cut { cm: 58 }) };
        let order = OrderPlaced {
            lines: vec![line.clone()],
            root: Node { edges: vec![Edge { to: Node { edges: Vec::new(), twin: None } }], twin: None },
            by_name: HashMap::from([("x".into(), (line.clone(), [1, 2]))]),
            pages: Page { items: vec![line.clone()] },
            plain: Plain,
            _skipped: Plain,
        };
        let run = nq.start::<wrap>(order).await.unwrap();
        run.completed().await.unwrap();
        let done = run.entries(vec![EntryType::StepCompleted]).await.unwrap();
        let result = |worker: &str| {
            let of = done.iter().find(|entry| entry.step.as_ref().unwrap().worker().as_str() == worker);
            of.unwrap().data["result"].clone()
        };
        assert_eq!((result("number"), result("both")), (json!(7), json!(12)));
    })
    .await;
}

#[test]
fn generic_events_are_named_by_their_arguments() {
    assert_eq!(Envelope::<u32>::DEF.name, "envelope<u32>");
    assert_eq!(Envelope::<Page<Line>>::DEF.name, "envelope<page<line>>");
    assert_eq!(Envelope::<Vec<Envelope<String>>>::DEF.name, "envelope<vec<envelope<string>>>");
    assert_eq!(Batch::<Size, 3>::DEF.name, "batch-of<size-of,3>");
    assert_eq!(Batch::<Size, 3>::DEF.type_path, "events::Batch<events::Size,3>");
    assert_ne!(Batch::<Size, 3>::DEF.type_key, Batch::<Size, 4>::DEF.type_key);
}

#[test]
fn options_take_constants() {
    use nq::Worker as _;
    let def = wrap::DEF;
    assert_eq!((def.retries, def.concurrency, def.max_crashes), (2, Some(3), 2));
    assert_eq!(def.timeout_ms, Some(20_000));
    assert_eq!(format!("{:?}", def.backoff), "Exponential { base_ms: 5, max_ms: 20000 }");
    assert_eq!(format!("{:?}", number::DEF.backoff), "Fixed { delay_ms: 20000 }");
    assert_eq!(format!("{:?}", both::DEF.backoff), "Exponential { base_ms: 20000, max_ms: 300000 }");
}

// Fields, as serde writes them.

/// The proof knows the fields that these payloads have, together.
#[track_caller]
fn check<E: Event>(payloads: &[E]) {
    let mut written = BTreeSet::new();
    for payload in payloads {
        let payload = serde_json::to_value(payload).unwrap();
        written.extend(payload.as_object().into_iter().flat_map(serde_json::Map::keys).cloned());
    }
    let known = E::DEF.fields.expect("known fields").iter().map(|&field| field.to_owned());
    assert_eq!(known.collect::<BTreeSet<_>>(), written);
}

#[nq::event]
#[serde(rename_all = "camelCase")]
struct Named {
    order_id: u32,
    r#type: u32,
    #[serde(rename = "ID")]
    id: u32,
    #[serde(rename(serialize = "out", deserialize = "in"))]
    both: u32,
    #[serde(skip)]
    _skipped: u32,
    #[serde(skip_serializing, default)]
    _unwritten: u32,
    #[serde(alias = "other")]
    größe_über_x: u32,
    #[cfg(not(test))]
    left_out: u32,
    #[cfg(test)]
    left_in: u32,
}

#[nq::event]
#[serde(tag = "kind", rename_all = "SCREAMING-KEBAB-CASE", rename_all_fields = "PascalCase")]
enum Tagged {
    NothingElse,
    OneThing {
        some_field: u32,
    },
    #[serde(rename_all = "kebab-case")]
    Other {
        some_field: u32,
        both_have: u32,
    },
    #[serde(skip)]
    _Skipped {
        never: u32,
    },
}

#[nq::event]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A(u32),
    B { x: u32 },
}

#[nq::event]
#[serde(untagged)]
enum Untagged {
    A { x: u32 },
    B { y: u32, x: u32 },
    C(u32, u32),
}

#[nq::event]
#[serde(rename_all = "snake_case")]
enum External {
    FirstThing {
        x: u32,
    },
    #[serde(rename = "2nd")]
    SecondThing(u32),
}

#[nq::event]
#[serde(tag = "type")]
struct WithTag {
    x: u32,
}

#[nq::event]
struct Unit;
#[nq::event]
struct Tuple(u32, u32);

/// Renames every field and variant by one rule.
macro_rules! cases {
    ($($fields:ident $variants:ident $case:literal;)*) => { $(
        #[nq::event(name = $case)]
        #[serde(rename_all = $case)]
        struct $fields { one_two: u32, x: u32, __a_b_: u32 }
        #[nq::event(name = $case)]
        #[serde(rename_all = $case)]
        enum $variants { OneTwo { a: u32 }, X { a: u32 }, ABTest { a: u32 } }
    )* };
}

cases! {
    LowerFields LowerVariants "lowercase";
    UpperFields UpperVariants "UPPERCASE";
    PascalFields PascalVariants "PascalCase";
    CamelFields CamelVariants "camelCase";
    SnakeFields SnakeVariants "snake_case";
    ScreamingFields ScreamingVariants "SCREAMING_SNAKE_CASE";
    KebabFields KebabVariants "kebab-case";
    ScreamingKebabFields ScreamingKebabVariants "SCREAMING-KEBAB-CASE";
}

#[test]
fn the_proof_knows_the_fields_that_serde_writes() {
    check(&[Named {
        order_id: 1,
        r#type: 1,
        id: 1,
        both: 1,
        _skipped: 1,
        _unwritten: 1,
        größe_über_x: 1,
        left_in: 1,
    }]);
    check(&[
        Tagged::NothingElse,
        Tagged::OneThing { some_field: 1 },
        Tagged::Other { some_field: 1, both_have: 1 },
    ]);
    check(&[Adjacent::A(1), Adjacent::B { x: 1 }]);
    check(&[Untagged::A { x: 1 }, Untagged::B { y: 1, x: 1 }, Untagged::C(1, 1)]);
    check(&[External::FirstThing { x: 1 }, External::SecondThing(1)]);
    check(&[WithTag { x: 1 }]);
    check(&[Unit]);
    check(&[Tuple(1, 1)]);
    check(&[Envelope { inner: 1_u8 }]);
    macro_rules! check_cases {
        ($($fields:ident $variants:ident)*) => { $(
            check(&[$fields { one_two: 1, x: 1, __a_b_: 1 }]);
            check(&[$variants::OneTwo { a: 1 }, $variants::X { a: 1 }, $variants::ABTest { a: 1 }]);
        )* };
    }
    check_cases! {
        LowerFields LowerVariants UpperFields UpperVariants PascalFields PascalVariants CamelFields CamelVariants
        SnakeFields SnakeVariants ScreamingFields ScreamingVariants KebabFields KebabVariants ScreamingKebabFields
        ScreamingKebabVariants
    }
}

#[nq::event]
struct Flat {
    x: u32,
    #[serde(flatten)]
    rest: HashMap<String, Json>,
}
#[nq::event]
struct Wrapper(HashMap<String, u32>);
#[nq::event]
#[serde(untagged)]
enum Mixed {
    A { x: u32 },
    B(Line),
}

#[nq::worker(flow = "open", emits = [Flat, Wrapper, Mixed, "untyped"])]
async fn open(_order: Deal) {}

/// Fields that come from another type are not known to the proof, and not refused.
#[nq::worker(flow = "open", joins = [Flat, Wrapper, Mixed, "untyped"], by = "anything")]
async fn join_open(_all: (Flat, Wrapper, Mixed, Json)) {}

#[test]
fn fields_of_another_type_are_not_known() {
    assert_eq!([Flat::DEF.fields, Wrapper::DEF.fields, Mixed::DEF.fields], [None; 3]);
}
