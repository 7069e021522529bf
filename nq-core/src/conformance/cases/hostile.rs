//! Hostile names and payloads: what goes in comes out, bit for bit.

use serde_json::Value;

use super::prelude::*;

/// Strings that have broken a store of somebody.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\n",
    "\r\n\t",
    "\u{0}",
    "a\u{0}b",
    "\u{1}\u{1f}\u{7f}\u{80}\u{9f}",
    "'",
    "\"",
    "\\",
    "\\u0000",
    "\\n",
    "`",
    "'; drop table runs; --",
    "{}",
    "{0}",
    "{tag}",
    "[]",
    "null",
    "nil",
    "true",
    "0",
    "1e999",
    "%s%n%d",
    "%00",
    "*",
    "?",
    "$1",
    "${x}",
    "<script>",
    "&amp;",
    "ü",
    "u\u{308}",
    "日本語",
    "👩‍👩‍👧‍👦",
    "\u{202e}abc",
    "\u{feff}bom",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{2028}\u{2029}",
    "a,b;c|d:e/f",
    "EVAL \"return 1\" 0",
    "*3\r\n$3\r\nSET\r\n",
];

/// Sends a payload through a start, an event, the state, a result and back.
async fn through(t: &Fixture, payload: &Value) {
    let begin = start("r", payload.clone(), job("a"), &[gather(job("g"), 0)]);
    let begin = crate::transaction::Start { job: job("a").holding(&["g"]), ..begin };
    t.try_start(&begin).await.unwrap();
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing, "it is the same input");
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    assert_eq!(&lease.inputs[0].payload, payload, "as an input");
    let tx = write(&lease).set("k", payload.clone()).emit("e", payload.clone()).to(job("b")).gather("g");
    one.commit(tx.complete_with(payload.clone())).await;
    assert_eq!(&one.lease("b").await.inputs[0].payload, payload, "as an event");
    let all = t.timeline(&begin.run).await;
    assert_eq!(&all[0].data, &begin.started.data, "in the first entry");
    assert_eq!(&all[2].says::<StateSet>().unwrap().value, payload, "in the state");
    assert_eq!(&all[4].says::<StepCompleted>().unwrap().result, payload, "as a result");
    assert_eq!(t.gathered(&begin.run, "g", 99, 9).await, std::slice::from_ref(payload), "in a list");
}

pub(super) async fn any_text_comes_back_as_it_was(t: &Fixture) {
    through(t, &json!(TEXTS)).await;
}

pub(super) async fn any_text_may_be_a_key(t: &Fixture) {
    through(t, &TEXTS.iter().map(|text| ((*text).to_owned(), json!(text))).collect::<Value>()).await;
}

pub(super) async fn keys_that_mean_something_to_us_mean_nothing_in_a_payload(t: &Fixture) {
    let keys = ["id", "type", "data", "name", "payload", "input", "event", "op", "to", "__proto__", "result"];
    let object: Value = keys.iter().map(|key| ((*key).to_owned(), json!({ "payload": 1 }))).collect();
    through(t, &object).await;
}

pub(super) async fn integers_keep_every_digit(t: &Fixture) {
    let limits = json!([
        0,
        -1,
        i32::MAX,
        i32::MIN,
        i64::MAX,
        i64::MIN,
        u64::MAX,
        u32::MAX,
        (1_u64 << 53) + 1,
        123_456_789_012_345_678_u64
    ]);
    through(t, &limits).await;
}

pub(super) async fn fractions_keep_every_bit(t: &Fixture) {
    let values = [
        0.1,
        0.1 + 0.2,
        -0.0,
        1.0,
        1e21,
        1e-7,
        31.245_270_191_439_438,
        1.448_997_445_238_699,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::EPSILON,
        1e308,
        2.0_f64.powi(60),
        std::f64::consts::PI,
    ];
    through(t, &json!(values)).await;
}

pub(super) async fn an_empty_list_is_no_empty_object(t: &Fixture) {
    through(t, &json!({ "list": [], "object": {}, "both": [[], {}, [[]], { "": {} }], "null": null })).await;
}

pub(super) async fn every_kind_of_json_may_be_a_payload(t: &Fixture) {
    for (n, payload) in
        [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})].iter().enumerate()
    {
        let run = format!("r{n}");
        t.try_start(&start(&run, payload.clone(), job("a"), &[])).await.unwrap();
        let mut one = t.peer(&run);
        let lease = one.lease("a").await;
        assert_eq!(&lease.inputs[0].payload, payload);
        one.commit(write(&lease).emit("e", payload.clone()).to(job("b")).complete()).await;
        assert_eq!(&one.lease("b").await.inputs[0].payload, payload);
    }
}

pub(super) async fn a_missing_key_is_not_a_key_of_null(t: &Fixture) {
    through(t, &json!([{ "a": null }, {}])).await;
}

pub(super) async fn deep_json_comes_back(t: &Fixture) {
    let deep = (0..100)
        .fold(json!("core"), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "x": inner }) });
    through(t, &deep).await;
}

pub(super) async fn wide_json_comes_back(t: &Fixture) {
    through(t, &json!((0..5_000).map(|n| json!({ "n": n })).collect::<Vec<_>>())).await;
}

pub(super) async fn any_text_may_be_an_error_a_reason_and_a_log_line(t: &Fixture) {
    for (n, text) in TEXTS.iter().enumerate() {
        let run = t.start(&format!("r{n}"), job("a").optional()).await;
        let mut one = t.peer(run.as_str());
        let lease = one.lease("a").await;
        t.append(&run, &[line(&lease, text)]).await.unwrap();
        one.commit(write(&lease).emit("e", json!(1)).to(job("b")).fail(text)).await;
        t.act(&run, Act::Cancel { reason: (*text).into() }).await.unwrap();
        let all = t.timeline(&run).await;
        assert_eq!(all[2].says::<Log>().unwrap().message, *text);
        assert_eq!(all[4].says::<StepFailed>().unwrap().error, *text);
        assert_eq!(t.dead(&run).await[0].1, *text);
        assert_eq!(all[5].says::<FlowCancelled>().unwrap().reason, *text);
    }
}

pub(super) async fn names_may_hold_whatever_is_visible(t: &Fixture) {
    let names = [
        "a:b",
        "{tag}",
        "{",
        "}",
        "[x]",
        "*",
        "?",
        "%",
        "_",
        "'",
        "\"",
        "\\",
        "$",
        "#",
        "@",
        "a@1-1",
        "ü/é",
        "-1",
        "0",
        "nq:flow:x",
        "a|b",
        "日本",
        "👍",
        "r",
        "R",
        "r2",
        "<a>",
        "null",
    ];
    for text in names {
        let begin = start_of(text, text, json!(text), job(&text.replace('/', "")), &[]);
        assert!(matches!(t.try_start(&begin).await.unwrap(), Started::New(_)), "{text}");
    }
    for text in names {
        let mut one = t.peer(text);
        let lease = one.lease(&text.replace('/', "")).await;
        assert_eq!(
            (lease.run.as_str(), lease.flow.as_str(), &lease.inputs[0].payload),
            (text, text, &json!(text))
        );
        let tx = write(&lease).emit(text, json!(1)).join_by(job("j"), 0, 2, text).gather(text).complete();
        one.commit(tx).await;
        assert_eq!(t.gathered(&lease.run, text, 99, 9).await, [json!(1)], "{text}");
        assert_eq!(t.summary(&lease.run).await.status, RunStatus::Completed);
        assert_eq!(t.run_ids(RunsQuery { flow: Some(name(text)), ..all_runs(9) }).await, [text]);
        assert_eq!(t.said::<FlowCompleted>(&lease.run).await[0].unpaired.len(), 1);
    }
    assert_eq!(t.run_ids(all_runs(7)).await.len(), names.len());
}

pub(super) async fn queues_whose_names_look_alike_are_apart(t: &Fixture) {
    let workers = ["a", "A", "a:b", "a*", "a?", "[a]", "a%", "a_", "aa"];
    for worker in workers {
        t.start(&format!("run-{worker}"), job(worker)).await;
    }
    for worker in workers {
        let leases = t.peer(&format!("peer-{worker}")).leases(worker, 9).await;
        assert_eq!(leases.len(), 1, "{worker}");
        assert_eq!(leases[0].run, run_id(&format!("run-{worker}")));
    }
}
