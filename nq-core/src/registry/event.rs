//! An event as the registry knows it.

use serde_json::Value;

use crate::def::{EventDef, Misfit};

/// An event that workers name.
#[derive(Clone, Debug)]
pub enum Event {
    /// A type of this program.
    Typed(EventDef),
    /// An event as a document describes it.
    Described {
        /// The path of the Rust type; none for an untyped event, named by a string.
        type_path: Option<String>,
        /// The JSON Schema of the payload.
        schema: Value,
    },
}

impl Event {
    /// The path of the Rust type; none for an untyped event.
    pub fn type_path(&self) -> Option<&str> {
        match self {
            Self::Typed(def) => Some(def.type_path),
            Self::Described { type_path, .. } => type_path.as_deref(),
        }
    }

    /// The JSON Schema of the payload. For a type, each call makes it anew.
    pub fn schema(&self) -> Value {
        match self {
            Self::Typed(def) => (def.schema)().to_value(),
            Self::Described { schema, .. } => schema.clone(),
        }
    }

    /// Reads a payload as a worker will. If the type is not known, the schema is the only check, and this does nothing.
    ///
    /// # Errors
    ///
    /// Where and why the payload is not what the type reads.
    pub fn read(&self, payload: &Value) -> Result<(), Misfit> {
        match self {
            Self::Typed(def) => (def.read)(payload),
            Self::Described { .. } => Ok(()),
        }
    }
}
