//! Names: what an event is called by default, what a name may look like, which name was meant, and in which
//! bucket a worker's definition lies.

use proc_macro2::Ident;
use quote::format_ident;

use crate::keys;

/// The longest name of a flow, a worker or a queue, in bytes: two of them make the name of a queue in stores.
const LONGEST_NAME: usize = 99;
/// The longest name of an event, in bytes.
const LONGEST_EVENT: usize = 200;

/// An identifier as the user thinks of it, without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// `OrderPaid` is `order.paid`, `HTTPRequest` is `http.request`.
pub(crate) fn dotted(ident: &str) -> String {
    let letters: Vec<char> = ident.chars().collect();
    let mut name = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let begins = before.is_some_and(|before| {
            let ends_acronym = before.is_uppercase() && letters.get(at + 1).is_some_and(|c| c.is_lowercase());
            letter.is_uppercase() && (!before.is_uppercase() || ends_acronym)
        });
        if (begins || *letter == '_') && !name.is_empty() && !name.ends_with('.') {
            name.push('.');
        }
        if *letter != '_' {
            name.extend(letter.to_lowercase());
        }
    }
    name.trim_end_matches('.').to_owned()
}

/// Why a flow, a worker or a queue cannot have this name.
pub(crate) fn refuse_name(name: &str) -> Option<String> {
    refuse(name, LONGEST_NAME).or_else(|| {
        let bad = name.chars().find(|c| matches!(c, '/' | '@'))?;
        Some(format!("has a `{bad}`, which stores use between names"))
    })
}

/// Why an event cannot have this name.
pub(crate) fn refuse_event_name(name: &str) -> Option<String> {
    refuse(name, LONGEST_EVENT)
}

fn refuse(name: &str, longest: usize) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.len() > longest {
        return Some(format!("is {} bytes long; at most {longest} fit", name.len()));
    }
    let bad = name.chars().any(|c| c.is_control() || c.is_whitespace());
    bad.then(|| "has white space or a control character".to_owned())
}

/// The candidate that was probably meant: at most a third of it differs.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    let near = candidates.into_iter().map(|candidate| (edits(wanted, candidate), candidate));
    near.filter(|(edits, _)| *edits <= limit).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// How many letters to insert, drop, replace or swap with their neighbour.
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for y in 1..=left.len() {
        let mut row = vec![y];
        for x in 1..=right.len() {
            let replaced = rows[y - 1][x - 1] + usize::from(left[y - 1] != right[x - 1]);
            let mut best = replaced.min(rows[y - 1][x] + 1).min(row[x - 1] + 1);
            if x > 1 && y > 1 && left[y - 1] == right[x - 2] && left[y - 2] == right[x - 1] {
                best = best.min(rows[y - 2][x - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// The type that a worker's definition lies on, chosen by the function's name.
pub(crate) fn bucket(function: &Ident) -> Ident {
    let key = keys::of(keys::WORKER, &plain(function));
    format_ident!("B{:02x}", key & 0xff)
}

#[cfg(test)]
mod tests {
    use super::{dotted, nearest, refuse_event_name, refuse_name};

    #[test]
    fn events_are_named_after_their_types() {
        for (ident, name) in [
            ("OrderPaid", "order.paid"),
            ("Paid", "paid"),
            ("HTTPRequest", "http.request"),
            ("OrderV2Paid", "order.v2.paid"),
            ("Sha256Done", "sha256.done"),
            ("Order_Paid", "order.paid"),
            ("_Internal_", "internal"),
            ("ÜberZahlt", "über.zahlt"),
        ] {
            assert_eq!(dotted(ident), name);
        }
    }

    #[test]
    fn names_that_stores_cannot_hold_are_refused() {
        for name in ["", "a b", "a/b", "a@b", "a\n", &"x".repeat(100)] {
            assert!(refuse_name(name).is_some(), "{name:?}");
        }
        for name in ["a", "order-flow", "Größe", "a.b_c:d", &"x".repeat(99)] {
            assert_eq!(refuse_name(name), None);
        }
        assert_eq!(refuse_event_name("github/push"), None);
        assert!(refuse_event_name(&"x".repeat(201)).is_some());
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let names = ["retries", "timeout", "emits"];
        assert_eq!(nearest("retires", names), Some("retries"));
        assert_eq!(nearest("emit", names), Some("emits"));
        assert_eq!(nearest("max", names), None);
    }
}
