//! How long values are as JSON text.

use std::fmt;

use serde_json::{Number, Value};

use super::fault::Fault;

/// How many bytes a value has that is nested in itself at most so many levels.
pub(super) fn measure_within(value: &Value, levels: usize) -> Result<usize, Fault> {
    Ok(match value {
        Value::Null => 4,
        Value::Bool(value) => bool_len(*value),
        Value::Number(number) => number_len(number),
        Value::String(text) => text_len(text),
        Value::Array(items) => {
            let levels = levels.checked_sub(1).ok_or_else(Fault::too_deep)?;
            let mut bytes = list_len(items.len());
            for (index, item) in items.iter().enumerate() {
                bytes += measure_within(item, levels).map_err(|fault| fault.under(&index.to_string()))?;
            }
            bytes
        }
        Value::Object(fields) => {
            let levels = levels.checked_sub(1).ok_or_else(Fault::too_deep)?;
            let mut bytes = list_len(fields.len());
            for (key, value) in fields {
                let value = measure_within(value, levels).map_err(|fault| fault.under(key))?;
                bytes += text_len(key) + 1 + value;
            }
            bytes
        }
    })
}

/// The brackets of a list and the commas in it.
fn list_len(items: usize) -> usize {
    2 + items.saturating_sub(1)
}

pub(super) fn bool_len(value: bool) -> usize {
    if value { 4 } else { 5 }
}

pub(super) fn unsigned_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or_default() as usize + 1
}

pub(super) fn signed_len(number: i64) -> usize {
    unsigned_len(number.unsigned_abs()) + usize::from(number < 0)
}

pub(super) fn number_len(number: &Number) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    if let Some(number) = number.as_u64() {
        return unsigned_len(number);
    }
    let mut count = Count(0);
    // The counter never fails.
    let _ = fmt::Write::write_fmt(&mut count, format_args!("{number}"));
    count.0
}

/// A text with its quotes, and what is escaped in it.
pub(super) fn text_len(text: &str) -> usize {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
        0x00..0x20 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(escape).sum::<usize>()
}
