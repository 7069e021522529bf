//! Takes the replies of functions apart.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use nq_core::entry::Entry;
use nq_core::id::RunId;
use nq_core::store::{ErrorKind, StoreError};
use redis::Value;

use super::codec;
use super::errors::garbled;

/// The rest of a list of values, read from its front.
pub(super) struct Reply {
    op: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    /// A reply that must be a list.
    pub(super) fn new(op: &'static str, value: Value) -> Result<Self, StoreError> {
        let values = value.into_sequence().map_err(|_| garbled(op))?;
        Ok(Self { op, values: values.into_iter() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    pub(super) fn value(&mut self) -> Result<Value, StoreError> {
        self.values.next().ok_or_else(|| garbled(self.op))
    }

    /// A list within the list.
    pub(super) fn list(&mut self) -> Result<Self, StoreError> {
        Self::new(self.op, self.value()?)
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        text(self.value()?).ok_or_else(|| garbled(self.op))
    }

    /// A number, also where it comes as text.
    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        let op = self.op;
        match self.value()? {
            Value::Int(number) => Ok(number),
            other => text(other).and_then(|text| text.parse().ok()).ok_or_else(|| garbled(op)),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        Ok(self.int()?.try_into().unwrap_or_default())
    }

    /// What a text says that is an id or a name.
    pub(super) fn parse<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let op = self.op;
        self.text()?.parse().map_err(|_| garbled(op))
    }

    /// The texts that are left.
    pub(super) fn texts(self) -> Result<Vec<String>, StoreError> {
        let op = self.op;
        self.values.map(|value| text(value).ok_or_else(|| garbled(op))).collect()
    }

    /// Tells the log of what a function could not do, which comes next.
    pub(super) fn log_failures(&mut self) -> Result<(), StoreError> {
        for failure in self.list()?.texts()?.into_iter().filter(|failure| is_news(failure)) {
            tracing::error!(%failure, "damaged keys are left as they are");
        }
        Ok(())
    }

    /// An entry of this run: its id and its text.
    pub(super) fn entry(&mut self, run: &RunId) -> Result<Entry, StoreError> {
        let (id, text) = (self.parse()?, bytes(self.value()?));
        let damaged = |what: String| StoreError::new(ErrorKind::Corrupt, self.op, what).with_key(run);
        codec::entry(id, &text).map_err(damaged)
    }
}

/// The text of a value that has one.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Okay => Some("OK".into()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The bytes of a value; none where it has none.
pub(super) fn bytes(value: Value) -> Vec<u8> {
    if let Value::BulkString(bytes) = value { bytes } else { Vec::new() }
}

/// The text of a value, whatever it is.
pub(super) fn lossy(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        value => text(value).unwrap_or_default(),
    }
}

/// Whether the log has not been told of this yet. Every turn and tick finds again what is damaged and stays so.
fn is_news(failure: &str) -> bool {
    /// How many failures are remembered. Where there are more, all are told again.
    const REMEMBERED: usize = 1_000;
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= REMEMBERED {
        told.clear();
    }
    told.insert(failure.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_damaged_is_told_once() {
        let told: Vec<_> = ["r: damaged", "s: damaged", "r: damaged"].into_iter().map(is_news).collect();
        assert_eq!(told, [true, true, false]);
        // However much is damaged, little of it is remembered.
        assert_eq!((0..5_000).filter(|run| is_news(&format!("{run}: damaged"))).count(), 5_000);
        assert!(is_news("r: damaged"), "it was told long ago");
    }
}
