//! Changes of the state, as entries tell them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Change {
    /// The key has this value from here on.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
    /// The key is gone from here on.
    Delete {
        /// The key.
        key: String,
    },
    /// The key's number grows by this; what is no number counts as 0. Whole numbers stay within
    /// `i64::MIN..=u64::MAX`, others are added to as an `f64`. Parallel steps count together with it: unlike a set,
    /// it does not depend on what the step has read.
    Incr {
        /// The key.
        key: String,
        /// How much.
        by: i64,
    },
}

impl Change {
    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Delete { key } | Self::Incr { key, .. } => key,
        }
    }
}
