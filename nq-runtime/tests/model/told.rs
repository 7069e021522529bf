//! What a store answers, told without what may differ between two stores: the moments in time.

use nq_core::id::StepId;
use nq_core::store::{Answer, StartAnswer, Started, StoreError, TurnReply};
use serde_json::{Value, json};

pub(super) fn error(error: StoreError) -> Value {
    json!(format!("{:?}", error.kind()))
}

/// A step by the position of its cause.
pub(super) fn step(step: &StepId) -> String {
    format!("{}@{}", step.worker(), step.cause().n)
}

/// What became of a start.
pub(super) fn started(answer: &StartAnswer) -> Value {
    match answer {
        StartAnswer::Started(Started::New(id)) => json!({ "new": id.n }),
        other => json!(format!("{other:?}")),
    }
}

pub(super) fn told(reply: &TurnReply) -> Value {
    let answers: Vec<_> = reply
        .answers
        .iter()
        .map(|answer| match answer {
            Answer::Committed { last } => format!("committed {}", last.n),
            other => format!("{other:?}"),
        })
        .collect();
    let leases: Vec<_> = reply
        .leases
        .iter()
        .map(|lease| {
            let inputs: Vec<_> = lease
                .inputs
                .iter()
                .map(|input| json!([input.id.n, input.event, input.payload, input.key]))
                .collect();
            json!([
                lease.run,
                lease.flow,
                step(&lease.step),
                lease.queue,
                [
                    lease.fence,
                    u64::from(lease.attempt),
                    u64::from(lease.failures),
                    lease.read,
                    u64::from(lease.recorded)
                ],
                inputs
            ])
        })
        .collect();
    json!({ "answers": answers, "renewed": reply.renewed, "leases": leases })
}

/// The data of an entry without the moments in it.
pub(super) fn timeless(data: Value) -> Value {
    match data {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let value = match key.as_str() {
                    "durationMs" => Value::Null,
                    "event" => value
                        .as_str()
                        .and_then(|id| id.split_once('-'))
                        .map(|(_, n)| json!(n))
                        .unwrap_or(value),
                    _ => timeless(value),
                };
                (key, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(timeless).collect(),
        other => other,
    }
}
