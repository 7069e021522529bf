//! Checks inputs from elsewhere against the JSON Schemas of events: each is compiled once, and kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use jsonschema::{ValidationError, Validator};
use nq_core::limits;
use nq_core::registry::{Event, FlowStep, Registry};
use serde_json::Value;

use super::error::{StartError, Violation};

/// The most violations that one error names.
const MAX_VIOLATIONS: usize = 20;
/// The most bytes of the message of one violation: a validator repeats the value in it.
const MAX_VIOLATION_BYTES: usize = 1024;

/// The typed events of a program with their validators. All clones of a client share them.
pub(super) struct Schemas {
    events: HashMap<String, Schema>,
}

struct Schema {
    name: String,
    event: Event,
    /// Compiled when the first input is checked against it. An error says why the schema cannot be used.
    validator: OnceLock<Result<Validator, String>>,
}

impl Schemas {
    /// The schemas of the events that this program has. Nothing is compiled yet.
    pub(super) fn new(registry: &Registry) -> Self {
        let schema = |(name, event): (&String, &Event)| {
            let (name, event) = (name.clone(), event.clone());
            (name.clone(), Schema { name, event, validator: OnceLock::new() })
        };
        Self { events: registry.events.iter().map(schema).collect() }
    }

    /// Checks an input against the schema of the event that the entry takes, then reads it as that event: a type may
    /// refuse what its schema allows, such as `1.0` for an integer.
    pub(super) fn check(&self, entry: &FlowStep, input: &Value) -> Result<(), StartError> {
        let schema = entry.worker.input.as_ref().and_then(|input| self.events.get(input));
        schema.map_or(Ok(()), |schema| schema.check(input))
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.events.keys()).finish()
    }
}

impl Schema {
    fn check(&self, input: &Value) -> Result<(), StartError> {
        let violations: Vec<_> = match self.validator() {
            Ok(validator) => validator.iter_errors(input).take(MAX_VIOLATIONS).map(violation).collect(),
            Err(error) => vec![Violation { pointer: String::new(), message: error.clone() }],
        };
        if !violations.is_empty() {
            return Err(self.invalid(violations));
        }
        self.event.read(input).map_err(|misfit| {
            let message = limits::cut_to(misfit.message, MAX_VIOLATION_BYTES);
            self.invalid(vec![Violation { pointer: misfit.pointer, message }])
        })
    }

    fn validator(&self) -> &Result<Validator, String> {
        self.validator.get_or_init(|| {
            jsonschema::validator_for(&self.event.schema())
                .map_err(|error| format!("its schema cannot be used: {error}"))
        })
    }

    fn invalid(&self, violations: Vec<Violation>) -> StartError {
        StartError::Invalid { event: self.name.clone(), violations }
    }
}

fn violation(error: ValidationError<'_>) -> Violation {
    Violation {
        pointer: limits::cut_to(error.instance_path().to_string(), MAX_VIOLATION_BYTES),
        message: limits::display_to(error, MAX_VIOLATION_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nq_core::def::{EventDef, EventRef, WorkerDef};
    use nq_core::export::RegistryDocument;
    use serde_json::json;

    use super::super::Client;
    use super::*;
    use crate::store::memory::MemoryStore;

    static MADE: AtomicU32 = AtomicU32::new(0);

    const PLACED: EventDef = EventDef {
        name: "order.placed",
        key: 1,
        type_path: "Placed",
        type_key: 2,
        fields: None,
        schema: || {
            MADE.fetch_add(1, Ordering::Relaxed);
            schemars::json_schema!({ "type": "object", "required": ["order"] })
        },
        read: |_| Ok(()),
    };
    static CHARGE: WorkerDef = WorkerDef {
        name: "charge",
        path: "charge",
        flows: &["order"],
        input: Some(EventRef::untyped(PLACED.name)),
        ..WorkerDef::DEFAULT
    };

    #[tokio::test]
    async fn a_schema_is_compiled_once_for_all_clones_of_a_client() {
        let registry = Arc::new(Registry::new([&CHARGE], [PLACED]).unwrap());
        let client = Client::new(Arc::new(MemoryStore::new()), registry, 1024);
        assert_eq!(MADE.load(Ordering::Relaxed), 0, "nothing is compiled before it is needed");
        client.start_json("order", json!({ "order": 7 })).await.unwrap();
        for clone in [client.clone(), client] {
            let refused = clone.start_json("order", json!({})).await.unwrap_err();
            assert!(refused.to_string().contains("order"), "{refused}");
        }
        assert_eq!(MADE.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_a_document_says_of_an_event_is_checked_too() {
        let placed = EventDef {
            schema: || schemars::json_schema!({ "type": "object", "required": ["order"] }),
            ..PLACED
        };
        let document = RegistryDocument::new(&Registry::new([&CHARGE], [placed]).unwrap());
        let client = Client::new(Arc::new(MemoryStore::new()), Arc::new(document.registry().unwrap()), 1024);
        client.start_json("order", json!({ "order": 7 })).await.unwrap();
        let refused = client.start_json("order", json!({})).await.unwrap_err();
        assert!(refused.to_string().contains("order"), "{refused}");
    }
}
