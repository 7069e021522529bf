//! The ranges of integer types. `schemars` names the type in `format`, which validators ignore.

use schemars::Schema;
use serde_json::{Number, Value};

/// The least and the greatest number of an integer type, by its name in `format`.
pub(super) fn range(format: &str) -> Option<(Number, Number)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0.into(), u8::MAX.into()),
        "uint16" => (0.into(), u16::MAX.into()),
        "uint32" => (0.into(), u32::MAX.into()),
        "uint64" | "uint" => (0.into(), u64::MAX.into()),
        _ => return None,
    })
}

/// Writes the range of an integer type into its schema, as `minimum` and `maximum`. An existing bound stays.
/// For `schemars::transform::RecursiveTransform`.
pub fn ranges(schema: &mut Schema) {
    let Some(keywords) = schema.as_object_mut() else { return };
    let Some((least, most)) = keywords.get("format").and_then(Value::as_str).and_then(range) else { return };
    keywords.entry("minimum").or_insert(least.into());
    keywords.entry("maximum").or_insert(most.into());
}
