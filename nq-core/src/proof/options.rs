//! The checks of options whose values are constants of the program, each spanned at the value. The macro judges
//! the values that it can read.

use super::check::fail;
use super::suggest::Nearest;
use super::text::Text;
use crate::def::{Backoff, EventDef, WorkerDef};

/// The longest duration, in milliseconds: ten years, as the macro has it. Longer ones are mistakes.
const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// `concurrency` and `max_crashes` are at least 1.
#[track_caller]
pub const fn at_least_one(_: &WorkerDef, key: &str, number: u32) {
    if number == 0 {
        let mut text = Text::new();
        text.name(key).push(" is a whole number of at least 1, and this constant is 0");
        fail(&text);
    }
}

/// A duration is at least a millisecond, and at most ten years.
#[track_caller]
pub const fn duration(_: &WorkerDef, key: &str, ms: u64) {
    let mut text = Text::new();
    if ms == 0 {
        text.name(key).push(" is a duration of at least a millisecond, and this constant is less");
    } else if ms > LONGEST_MS {
        text.name(key).push(" is longer than ten years");
    }
    fail(&text);
}

/// `max` is not less than the first delay.
#[track_caller]
pub const fn grows(def: &WorkerDef) {
    if let Backoff::Exponential { base_ms, max_ms } = def.backoff
        && max_ms < base_ms
    {
        let mut text = Text::new();
        text.push("`max` is shorter than the first delay");
        fail(&text);
    }
}

/// The field by which a worker pairs what it joins: each of the events has it, as far as their fields are known.
#[track_caller]
pub const fn pairs(def: &WorkerDef, by: &'static str, events: &[EventDef]) {
    fail(&unpaired(def, by, events));
}

pub(super) const fn unpaired(def: &WorkerDef, by: &'static str, events: &[EventDef]) -> Text {
    let (mut text, mut missing, mut at) = (Text::new(), 0, 0);
    while at < events.len() {
        if lacks(&events[at], by) {
            if missing == 0 {
                text.push("worker ").name(def.name).push(" joins by ").name(by).push(", but ");
            } else {
                text.push(" and ");
            }
            text.name(events[at].name);
            missing += 1;
        }
        at += 1;
    }
    if missing == 0 {
        return text;
    }
    text.push(if missing == 1 { " has no such field" } else { " have no such field" });
    suggest(&mut text, by, events);
    at = 0;
    while at < events.len() {
        if let (true, Some(fields)) = (lacks(&events[at], by), events[at].fields) {
            text.push("\nnote: ").name(events[at].name);
            if fields.is_empty() {
                text.push(" has no fields");
            } else {
                text.push(" has ");
                list(&mut text, fields);
            }
        }
        at += 1;
    }
    text
}

/// Says which field was probably meant: one that all of the events have.
const fn suggest(text: &mut Text, by: &'static str, events: &[EventDef]) {
    let (mut near, mut at) = (Nearest::to(by), 0);
    while at < events.len() {
        if let Some(fields) = events[at].fields {
            let mut field = 0;
            while field < fields.len() {
                if all_have(events, fields[field]) {
                    near.consider(fields[field]);
                }
                field += 1;
            }
        }
        at += 1;
    }
    match near.name() {
        Some(near) => text.push("\nhelp: did you mean ").name(near).push("?"),
        None => text.push(
            "\nhelp: name a field that all of them have, or leave `by` out: then they pair in the order in which they arrive",
        ),
    };
}

const fn list(text: &mut Text, names: &[&str]) {
    let mut at = 0;
    while at < names.len() {
        text.push(if at > 0 { ", " } else { "" }).name(names[at]);
        at += 1;
    }
}

const fn all_have(events: &[EventDef], field: &str) -> bool {
    let mut at = 0;
    while at < events.len() {
        if lacks(&events[at], field) {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether an event is known not to have this field.
const fn lacks(event: &EventDef, field: &str) -> bool {
    let Some(fields) = event.fields else { return false };
    let mut at = 0;
    while at < fields.len() {
        if same(fields[at], field) {
            return false;
        }
        at += 1;
    }
    true
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}
