//! Fields of a record that only some records have, by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields of a record that only some records have. A version of nq that does not know a field keeps it as it is, so
/// that an older instance which works on the record does not lose the fields of a newer one.
///
/// ```
/// use nq_core::more::More;
///
/// let mut more = More::default();
/// more.set("priority", 7);
/// assert_eq!(more.get("priority"), Some(7));
/// assert_eq!(more.get::<u8>("weight"), None);
/// assert_eq!(more.words(), " priority=7");
/// assert_eq!(More::of_words(" priority=7"), more);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct More(BTreeMap<Box<str>, Value>);

impl More {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The field of this name. None if the record does not have it, or it is of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.0.get(name)?).ok()
    }

    /// Sets a field to this value. The value `null` removes it.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        match value.into() {
            Value::Null => drop(self.0.remove(name)),
            value => drop(self.0.insert(name.into(), value)),
        }
    }

    /// The fields as words of a line: ` <name>=<value>` for each, by name. A character that would end a word or a line is
    /// written as `%` and two digits.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for (name, value) in &self.0 {
            words.push(' ');
            escape(name, &mut words);
            words.push('=');
            escape(&value.to_string(), &mut words);
        }
        words
    }

    /// Reads fields from words. A word that is not a field is left out.
    pub fn of_words(words: &str) -> Self {
        let field = |word: &str| {
            let (name, value) = word.split_once('=')?;
            Some((unescape(name)?.into(), serde_json::from_str(&unescape(value)?).ok()?))
        };
        Self(words.split(' ').filter_map(field).collect())
    }
}

/// Writes text as part of a word: without white space, control characters, `%` or `=`.
fn escape(text: &str, word: &mut String) {
    for c in text.chars() {
        if c.is_ascii() && (c <= ' ' || matches!(c, '%' | '=' | '\u{7f}')) {
            let _ = write!(word, "%{:02x}", c as u32);
        } else {
            word.push(c);
        }
    }
}

fn unescape(word: &str) -> Option<String> {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        text.push(char::from(u8::from_str_radix(after.get(..2)?, 16).ok()?));
        rest = &after[2..];
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_field_is_a_word_and_comes_back() {
        let mut more = More::default();
        for value in
            [json!(0), json!("a b=%\t\n\u{7f}ü"), json!({ "a b": [1, null, "="] }), json!(true), json!(1.5)]
        {
            more.set("a field=\t%ü", value.clone());
            more.set("other", 1);
            let words = more.words();
            assert!(words.starts_with(' ') && words.split(' ').count() == 3, "{words:?}");
            assert!(!words.contains(|c: char| c.is_control()), "{words:?}");
            assert_eq!(More::of_words(&words), more);
        }
    }

    #[test]
    fn what_is_no_field_is_left_out() {
        assert_eq!(More::of_words(""), More::default());
        assert_eq!(More::of_words(" a b=x c=%zz %=1 d=%2 "), More::default());
        assert_eq!(More::of_words("a=1"), More::of_words(" a=1 b"));
    }

    #[test]
    fn a_field_without_a_value_goes() {
        let mut more = More::default();
        more.set("a", 1);
        more.set("a", Value::Null);
        assert!(more.is_empty());
        assert_eq!(more.words(), "");
    }

    #[test]
    fn as_json_they_are_an_object() {
        let mut more = More::default();
        more.set("b", "x");
        assert_eq!(serde_json::to_string(&more).unwrap(), r#"{"b":"x"}"#);
        assert_eq!(serde_json::from_str::<More>(r#"{"b":"x"}"#).unwrap(), more);
    }
}
