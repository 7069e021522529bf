//! The documented form of the data of each type of entry.

use std::collections::HashSet;

use serde_json::json;

use super::*;

/// Writes it and compares; reads it again, by a reference and by moving, with a field beside it that nobody knows.
#[track_caller]
fn check<D: EntryData + Clone + PartialEq + std::fmt::Debug>(kinds: &[EntryType], data: &D, form: &Value) {
    assert_eq!(&data.clone().into_json(), form, "moved");
    assert_eq!(&serde_json::to_value(data).unwrap(), form, "copied");
    let mut more = form.clone();
    more["fromTheFuture"] = json!([1]);
    for kind in kinds {
        let id = EntryId { ms: 9, n: 2 };
        let entry = Entry { id, kind: kind.clone(), step: None, attempt: None, data: more.clone() };
        assert_eq!(&entry.says::<D>().unwrap(), data, "{kind}");
        assert_eq!(&entry.into_said::<D>().unwrap(), data, "{kind}");
    }
}

/// Every struct, filled and as empty as it can be, with its form.
#[test]
fn the_data_of_each_type_has_its_documented_form() {
    let mut told = HashSet::new();
    let mut tell = |kinds: &[EntryType]| told.extend(kinds.to_vec());
    macro_rules! form {
        ($data:expr, $form:tt) => {{
            fn kind_of<D: Typed>(_: &D) -> EntryType {
                D::TYPE
            }
            let data = $data;
            let kinds = [kind_of(&data)];
            tell(&kinds);
            check(&kinds, &data, &json!($form));
        }};
    }
    let name = |text: &str| Name::new(text).unwrap();

    form!(
        FlowStarted {
            event: "order".into(),
            input: json!({ "id": 7 }),
            trigger: "manual".into(),
            registry_hash: "0123".into(),
            rerun_of: None,
        },
        { "event": "order", "input": { "id": 7 }, "trigger": "manual", "registryHash": "0123" }
    );
    form!(
        FlowStarted {
            event: "order".into(),
            input: Value::Null,
            trigger: "manual".into(),
            registry_hash: "0123".into(),
            rerun_of: Some(RunId::new("r").unwrap()),
        },
        { "event": "order", "input": null, "trigger": "manual", "registryHash": "0123", "rerunOf": "r" }
    );
    form!(FlowCompleted { duration_ms: 5, unpaired: Vec::new() }, { "durationMs": 5 });
    form!(
        FlowCompleted {
            duration_ms: 5,
            unpaired: vec![Unpaired { step_name: name("pair"), event: EntryId { ms: 9, n: 2 } }],
        },
        { "durationMs": 5, "unpaired": [{ "stepName": "pair", "event": "9-2" }] }
    );
    form!(
        FlowFailed { duration_ms: 5, error: "no".into(), failed_step: Some(name("charge")) },
        { "durationMs": 5, "error": "no", "failedStep": "charge" }
    );
    form!(
        FlowFailed { duration_ms: 5, error: "no".into(), failed_step: None },
        { "durationMs": 5, "error": "no" }
    );
    form!(FlowCancelled { duration_ms: 5, reason: "enough".into() }, { "durationMs": 5, "reason": "enough" });
    form!(FlowStalled { duration_ms: 5, reason: "stuck".into() }, { "durationMs": 5, "reason": "stuck" });
    form!(StepStarted { instance: InstanceId::new("i").unwrap() }, { "instance": "i" });
    form!(StepCompleted { result: Value::Null }, {});
    form!(StepCompleted { result: json!([1]) }, { "result": [1] });
    form!(StepFailed { error: "no".into() }, { "error": "no" });
    form!(
        StepRetrying { error: Some("no".into()), reason: None, next_attempt: 2, delay_ms: 500 },
        { "error": "no", "nextAttempt": 2, "delayMs": 500 }
    );
    form!(
        StepRetrying { error: None, reason: Some("redriven".into()), next_attempt: 2, delay_ms: 0 },
        { "reason": "redriven", "nextAttempt": 2, "delayMs": 0 }
    );
    form!(
        StepEffect { name: "pay".into(), op: "1".into(), result: json!({ "paid": true }) },
        { "name": "pay", "op": "1", "result": { "paid": true } }
    );
    form!(
        StepEffect { name: "checkpoint".into(), op: "2".into(), result: Value::Null },
        { "name": "checkpoint", "op": "2", "result": null }
    );
    form!(
        EventEmitted {
            name: "paid".into(),
            payload: json!({ "id": 7 }),
            op: "1".into(),
            to: vec![name("ship"), name("tell")],
        },
        { "name": "paid", "payload": { "id": 7 }, "op": "1", "to": ["ship", "tell"] }
    );
    form!(
        EventEmitted { name: "paid".into(), payload: Value::Null, op: "1".into(), to: Vec::new() },
        { "name": "paid", "payload": null, "op": "1", "to": [] }
    );
    form!(
        StateSet { key: "k".into(), value: json!({ "key": "inner" }), op: "1".into() },
        { "key": "k", "value": { "key": "inner" }, "op": "1" }
    );
    form!(
        StateSet { key: "k".into(), value: Value::Null, op: "1".into() },
        { "key": "k", "value": null, "op": "1" }
    );
    form!(StateDelete { key: "k".into(), op: "1".into() }, { "key": "k", "op": "1" });
    let operation = |op: &str, change| StateOperation { change, op: op.into() };
    form!(
        StateBatch {
            operations: vec![
                operation("1", Change::Set { key: "a".into(), value: json!([1]) }),
                operation("2", Change::Set { key: "b".into(), value: Value::Null }),
                operation("3", Change::Delete { key: "c".into() }),
                operation("s/1", Change::Incr { key: "d".into(), by: -1 }),
            ],
        },
        { "operations": [
            { "action": "set", "key": "a", "value": [1], "op": "1" },
            { "action": "set", "key": "b", "value": null, "op": "2" },
            { "action": "delete", "key": "c", "op": "3" },
            { "action": "incr", "key": "d", "by": -1, "op": "s/1" },
        ] }
    );
    form!(
        StateSnapshot { as_of: 8, state: [("k".to_owned(), json!({ "a": 1 }))].into() },
        { "asOf": 8, "state": { "k": { "a": 1 } } }
    );
    form!(StateSnapshot { as_of: 8, state: BTreeMap::new() }, { "asOf": 8, "state": {} });

    let levels = [EntryType::LogDebug, EntryType::LogInfo, EntryType::LogWarn, EntryType::LogError];
    let fields = json!({ "took": 5 }).as_object().unwrap().clone();
    check(&levels, &Log::new("hello"), &json!({ "message": "hello" }));
    let line = Log { fields, ..Log::new("hello") };
    check(&levels, &line, &json!({ "message": "hello", "fields": { "took": 5 } }));
    tell(&levels);

    let untold: Vec<_> = EntryType::KNOWN.iter().filter(|kind| !told.contains(*kind)).collect();
    let nothing_writes = [
        EntryType::StepPaused,
        EntryType::StepResumed,
        EntryType::StepTimedOut,
        EntryType::TriggerFired,
        EntryType::TriggerAwaiting,
        EntryType::TriggerTimedOut,
        EntryType::WorkerRegistered,
        EntryType::WorkerHeartbeat,
        EntryType::WorkerDeregistered,
    ];
    assert_eq!(untold, nothing_writes.iter().collect::<Vec<_>>());
}

#[test]
fn reading_says_why_it_does_not_go() {
    let entry = |kind, data| Entry { id: EntryId { ms: 9, n: 2 }, kind, step: None, attempt: None, data };
    let why = |entry: &Entry| {
        let by_reference = entry.says::<StepFailed>().unwrap_err().to_string();
        assert_eq!(entry.clone().into_said::<StepFailed>().unwrap_err().to_string(), by_reference);
        by_reference
    };
    let other = entry(EntryType::StepStarted, json!({ "error": "no" }));
    assert_eq!(why(&other), "an entry of type `flow.step.started` says something else");
    let damaged = "the data of an entry of type `flow.step.failed` is damaged: ";
    assert_eq!(why(&entry(EntryType::StepFailed, json!({}))), format!("{damaged}missing field `error`"));
    for data in [json!({ "error": 1 }), json!("no"), json!(null), json!(["no", "no"]), json!([])] {
        assert!(why(&entry(EntryType::StepFailed, data.clone())).starts_with(damaged), "{data}");
    }
    assert!(entry(EntryType::LogInfo, json!({ "message": "m" })).says::<Log>().is_ok());
    assert!(entry(EntryType::FlowStarted, json!({ "message": "m" })).says::<Log>().is_err());
}

#[test]
fn what_an_earlier_version_left_out_is_read() {
    let entry = |kind, data| Entry { id: EntryId { ms: 9, n: 2 }, kind, step: None, attempt: None, data };
    let begun = entry(EntryType::FlowStarted, json!({ "event": "e", "input": 1 })).says::<FlowStarted>();
    let rest = (String::new(), None);
    assert_eq!(begun.map(|begun| (begun.registry_hash, begun.rerun_of)).unwrap(), rest);
    let emitted = entry(EntryType::EventEmitted, json!({ "name": "e", "payload": 1, "op": "1" }));
    assert!(emitted.says::<EventEmitted>().unwrap().to.is_empty());
}

#[test]
fn an_operation_that_cannot_be_read_leaves_the_others_of_its_batch() {
    let operations = json!([{ "action": "delete", "key": "a" }, { "action": "grow" }, 7]);
    let batch = StateBatch::from_json(json!({ "operations": operations })).unwrap();
    let deleted = StateOperation { change: Change::Delete { key: "a".into() }, op: String::new() };
    assert_eq!(batch.operations, [deleted]);
}
