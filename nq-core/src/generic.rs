//! The names of generic events. `Envelope<u32>` and `Envelope<String>` are two events, so each has a name of its own,
//! which is put together in a constant: `envelope<u32>`, `envelope<string>`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, SystemTime};

use crate::def::Event;

/// The longest name of an event, in bytes.
pub const LONGEST_NAME: usize = 200;
/// The longest path of an event's type, in bytes.
pub const LONGEST_PATH: usize = 2_000;

/// A type that can be an argument of a generic event, because it has a name: events, types under `#[nq::data]`, numbers,
/// texts, and collections of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name that a generic event could be told apart by",
    label = "an argument of a generic event without a name",
    note = "put `#[nq::data]` above the type `{Self}`; where it is of another crate, wrap it in a type of your own"
)]
pub trait Argument {
    /// Its name inside of the event's name. It is persisted.
    const NAME: &'static str;
    /// Its path inside of the path of the event's type.
    const PATH: &'static str;
}

#[diagnostic::do_not_recommend]
impl<E: Event> Argument for E {
    const NAME: &'static str = E::DEF.name;
    const PATH: &'static str = E::DEF.type_path;
}

/// An argument as a part of a name.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// A type.
    Text(&'static str),
    /// A constant.
    Number(i128),
}

/// A text that was put together in a constant.
#[derive(Debug)]
pub struct Composed<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Composed<MAX> {
    /// Puts together `open`, the parts with `between` between them, and `close`.
    pub const fn new(open: &str, parts: &[Part], between: &str, close: &str) -> Self {
        let mut this = Self { bytes: [0; MAX], len: 0 };
        this.push(open);
        let mut at = 0;
        while at < parts.len() {
            if at > 0 {
                this.push(between);
            }
            match parts[at] {
                Part::Text(text) => this.push(text),
                Part::Number(number) => this.number(number),
            }
            at += 1;
        }
        this.push(close);
        this
    }

    const fn push(&mut self, text: &str) {
        let bytes = text.as_bytes();
        assert!(
            self.len + bytes.len() <= MAX,
            "the name of a generic event is too long\nhelp: give it, or its arguments, shorter names: `#[nq::event(name = \"…\")]`"
        );
        let mut at = 0;
        while at < bytes.len() {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
    }

    const fn number(&mut self, number: i128) {
        if number < 0 {
            self.push("-");
        }
        let (mut digits, mut rest) = (1, number.unsigned_abs());
        while rest >= 10 {
            rest /= 10;
            digits += 1;
        }
        assert!(self.len + digits <= MAX, "the name of a generic event is too long");
        let mut rest = number.unsigned_abs();
        let mut at = digits;
        while at > 0 {
            at -= 1;
            self.bytes[self.len + at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.len += digits;
    }

    /// The text.
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => panic!("whole texts make a whole text"),
        }
    }
}

macro_rules! arguments {
    ($($name:literal $type:ty;)*) => { $(
        impl Argument for $type {
            const NAME: &'static str = $name;
            const PATH: &'static str = $name;
        }
    )* };
}

arguments! {
    "u8" u8; "u16" u16; "u32" u32; "u64" u64; "u128" u128; "usize" usize;
    "i8" i8; "i16" i16; "i32" i32; "i64" i64; "i128" i128; "isize" isize;
    "f32" f32; "f64" f64; "bool" bool; "char" char; "string" String;
    "duration" Duration; "system_time" SystemTime; "json" serde_json::Value; "()" ();
}

macro_rules! composed {
    ($($open:literal $between:literal $close:literal $type:ty [$($parameter:ident)*] [$($constant:ident)?];)*) => { $(
        impl<$($parameter: Argument,)* $(const $constant: usize)?> Argument for $type {
            const NAME: &'static str = const {
                let parts = &[$(Part::Text($parameter::NAME),)* $(Part::Number($constant as i128))?];
                &Composed::<LONGEST_NAME>::new($open, parts, $between, $close)
            }.as_str();
            const PATH: &'static str = const {
                let parts = &[$(Part::Text($parameter::PATH),)* $(Part::Number($constant as i128))?];
                &Composed::<LONGEST_PATH>::new($open, parts, $between, $close)
            }.as_str();
        }
    )* };
}

impl<K: Argument, V: Argument, S> Argument for HashMap<K, V, S> {
    const NAME: &'static str = <BTreeMap<K, V> as Argument>::NAME;
    const PATH: &'static str = const {
        &Composed::<LONGEST_PATH>::new("hash_map<", &[Part::Text(K::PATH), Part::Text(V::PATH)], ",", ">")
    }
    .as_str();
}

impl<T: Argument, S> Argument for HashSet<T, S> {
    const NAME: &'static str = <BTreeSet<T> as Argument>::NAME;
    const PATH: &'static str =
        const { &Composed::<LONGEST_PATH>::new("hash_set<", &[Part::Text(T::PATH)], ",", ">") }.as_str();
}

composed! {
    "vec<" "," ">" Vec<T> [T] [];
    "deque<" "," ">" VecDeque<T> [T] [];
    "option<" "," ">" Option<T> [T] [];
    "set<" "," ">" BTreeSet<T> [T] [];
    "map<" "," ">" BTreeMap<K, V> [K V] [];
    "[" ";" "]" [T; N] [T] [N];
    "(" "," ")" (A,) [A] [];
    "(" "," ")" (A, B) [A B] [];
    "(" "," ")" (A, B, C) [A B C] [];
    "(" "," ")" (A, B, C, D) [A B C D] [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together() {
        type Deep = HashMap<String, Vec<Option<(u8, [f64; 12])>>>;
        assert_eq!(Deep::NAME, "map<string,vec<option<(u8,[f64;12])>>>");
        assert_eq!(Deep::PATH, "hash_map<string,vec<option<(u8,[f64;12])>>>");
        assert_ne!(Deep::PATH, <BTreeMap<String, Vec<Option<(u8, [f64; 12])>>>>::PATH);
        let parts = [Part::Number(0), Part::Number(-10), Part::Number(i128::MIN), Part::Number(i128::MAX)];
        let numbers = Composed::<200>::new("batch<", &parts, ",", ">");
        assert_eq!(numbers.as_str(), format!("batch<0,-10,{},{}>", i128::MIN, i128::MAX));
        assert_eq!(Composed::<4>::new("ü", &[], ",", "é").as_str(), "üé");
    }

    #[test]
    #[should_panic = "too long"]
    fn a_name_has_an_end() {
        let _ = Composed::<4>::new("four", &[Part::Number(1)], ",", "");
    }
}
