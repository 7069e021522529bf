//! How joined events pair: by the value of one field, compared by its meaning and not by its spelling.

use serde_json::{Number, Value};

/// The text under which an event waits at a join: equal values of the field have the same text. Objects are equal
/// whatever the order of their keys, and numbers whatever their form: `1` is `1.0`. A missing field and `null` are no
/// value.
pub(crate) fn value(payload: &Value, field: &str) -> Option<String> {
    let value = payload.get(field).filter(|value| !value.is_null())?;
    let mut text = String::new();
    write(value, &mut text);
    Some(text)
}

/// The text under which an event without a value waits at a join. No other event has the same text, since `key` is the
/// key of this event, and no JSON begins with the mark before it.
pub(crate) fn alone(key: &str) -> String {
    format!("!{key}")
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Some features of serde_json, which any crate of a program can turn on, keep keys as they came.
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let mut open = '{';
            for (key, value) in &members {
                text.push(std::mem::replace(&mut open, ','));
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            let mut open = '[';
            for item in items {
                text.push(std::mem::replace(&mut open, ','));
                write(item, text);
            }
            text.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Number(number) => text.push_str(&plain(number)),
        other => text.push_str(&other.to_string()),
    }
}

/// A number in one spelling: a whole number by its digits, any other as the nearest floating-point number.
fn plain(number: &Number) -> String {
    let written = number.to_string();
    let digits = written.strip_prefix('-').unwrap_or(&written);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return if digits == "0" { digits.into() } else { written };
    }
    match number.as_f64() {
        // Every whole number below is exact.
        Some(float) if float.fract() == 0.0 && float.abs() < 1e38 => (float as i128).to_string(),
        Some(float) => Value::from(float).to_string(),
        None => written,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Option<String> {
        self::value(&json!({ "by": value }), "by")
    }

    #[test]
    fn values_are_compared_by_meaning() {
        let read = |text: &str| of(serde_json::from_str(text).unwrap()).unwrap();
        for (one, two) in [
            (r#"{"a":1,"b":{"d":[],"c":{}}}"#, r#"{ "b": { "c": {}, "d": [] }, "a": 1.0 }"#),
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("1.10", "1.1"),
            ("18446744073709549568", "18446744073709549568.0"),
            (r#""\u00fc""#, r#""ü""#),
        ] {
            assert_eq!(read(one), read(two));
        }
        for (one, two) in [
            ("1", r#""1""#),
            ("1", "-1"),
            ("1", "1.5"),
            ("[1,2]", "[2,1]"),
            ("[1,2]", "[12]"),
            ("[[1],2]", "[[1,2]]"),
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":"1,\"b\":2"}"#, r#"{"a":"1","b":2}"#),
            ("true", r#""true""#),
            ("18446744073709551615", "18446744073709551614"),
            ("{}", "[]"),
            ("1e300", "1e301"),
        ] {
            assert_ne!(read(one), read(two));
        }
    }

    #[test]
    fn nothing_is_no_value() {
        assert_eq!(of(Value::Null), None);
        for payload in [json!({}), json!([1]), json!("by"), Value::Null] {
            assert_eq!(value(&payload, "by"), None);
        }
        assert_ne!(alone("k"), of(json!("k")).unwrap());
    }

    #[test]
    fn an_object_is_what_it_was_before_keys_could_come_in_another_order() {
        let object = json!({ "a": [1, "x", null], "b": { "c": 1.5 }, "z": true });
        assert_eq!(of(object.clone()).unwrap(), r#"{"a":[1,"x",null],"b":{"c":1.5},"z":true}"#);
    }
}
