//! The ids of runs, entries, steps and instances, and the names of queues: strings that are persisted, so
//! their form is a contract.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string that is not a valid id, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {why}")]
pub struct IdError {
    text: String,
    what: &'static str,
    why: &'static str,
}

/// The longest id or name that a user may give, in bytes.
pub const MAX_ID_LEN: usize = 200;

fn check(text: &str, what: &'static str) -> Result<(), IdError> {
    let fail = |why| Err(IdError { text: text.chars().take(80).collect(), what, why });
    if text.is_empty() {
        return fail("it is empty");
    }
    if text.len() > MAX_ID_LEN {
        return fail("it is longer than 200 bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return fail("it holds white space or control characters");
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a string of 1 to 200 bytes without white space or control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check(text.as_ref(), $what)?;
                Ok(Self(text.as_ref().into()))
            }

            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type! {
    /// One execution of a flow. Given by the caller, or made by the instance that starts it.
    RunId, "a run id"
}
name_type! {
    /// One running process. Random for each process, so that two never share one.
    InstanceId, "an instance id"
}
name_type! {
    /// A worker's or flow's name.
    Name, "a name"
}
name_type! {
    /// Where the jobs of one worker in one flow wait: `<flow>/<worker>`.
    QueueName, "a queue name"
}

impl RunId {
    /// The id that a caller chooses for a run. An id that ends in `~` and digits is refused: only
    /// [reruns](Self::rerun) have such ids.
    ///
    /// ```
    /// use nq_core::id::RunId;
    ///
    /// assert!(RunId::chosen("order~7b").is_ok());
    /// assert!(RunId::chosen("order~7").is_err());
    /// ```
    pub fn chosen(text: impl AsRef<str>) -> Result<Self, IdError> {
        let run = Self::new(text)?;
        match run.numbered() {
            None => Ok(run),
            Some(_) => {
                Err(run.refused("ids that end in `~` and digits are kept for reruns; choose another end"))
            }
        }
    }

    /// The id of the rerun of this run: `order-7~2` for `order-7`, and `order-7~3` for `order-7~2`. The same run always
    /// has the same rerun, so that a rerun begins once.
    ///
    /// ```
    /// use nq_core::id::RunId;
    ///
    /// let rerun = RunId::new("order-7").unwrap().rerun().unwrap();
    /// assert_eq!(rerun.as_str(), "order-7~2");
    /// assert_eq!(rerun.rerun().unwrap().as_str(), "order-7~3");
    /// ```
    ///
    /// # Errors
    ///
    /// The id of the rerun would be longer than [`MAX_ID_LEN`], or its number too large for a `u64`.
    pub fn rerun(&self) -> Result<Self, IdError> {
        let (root, number) = self.numbered().unwrap_or((self.as_str(), "1"));
        let next = number.parse().ok().and_then(|number: u64| number.checked_add(1));
        let next = next.ok_or_else(|| self.refused("no number comes after its own"))?;
        Self::new(format!("{root}~{next}"))
    }

    /// The first run of a chain of reruns: `order-7` for `order-7~2` and for `order-7~3`. A run that is not a rerun is its
    /// own root.
    ///
    /// ```
    /// use nq_core::id::RunId;
    ///
    /// assert_eq!(RunId::new("order-7~3").unwrap().root().as_str(), "order-7");
    /// assert_eq!(RunId::new("order-7").unwrap().root().as_str(), "order-7");
    /// ```
    #[must_use]
    pub fn root(&self) -> Self {
        self.numbered().map_or_else(|| self.clone(), |(root, _)| Self(root.into()))
    }

    /// The parts of a rerun's id before and after the `~`.
    fn numbered(&self) -> Option<(&str, &str)> {
        let (root, number) = self.0.rsplit_once('~')?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (digits && !root.is_empty()).then_some((root, number))
    }

    fn refused(&self, why: &'static str) -> IdError {
        IdError { text: self.0.chars().take(80).collect(), what: "the id of a run to start", why }
    }
}

impl QueueName {
    /// The queue of a worker in a flow. Both names are at most 100 bytes, which the registry checks.
    ///
    /// ```
    /// assert_eq!(nq_core::id::QueueName::of("order", "charge").as_str(), "order/charge");
    /// ```
    pub fn of(flow: &str, worker: &str) -> Self {
        Self(format!("{flow}/{worker}").into())
    }
}

/// The id of an entry: `<ms>-<n>`. `ms` is the store's clock and never falls; `n` counts the entries of the
/// stream 1, 2, 3 … without a gap, so a lost or doubled entry shows at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// Milliseconds since 1970, by the store's clock.
    pub ms: u64,
    /// The position in the stream, from 1.
    pub n: u64,
}

impl EntryId {
    /// The id of the next entry of the stream, written when the store's clock shows `now_ms`.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Self {
        Self { ms: self.ms.max(now_ms), n: self.n + 1 }
    }
}

impl Ord for EntryId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.n.cmp(&other.n).then(self.ms.cmp(&other.ms))
    }
}

impl PartialOrd for EntryId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl FromStr for EntryId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let fail = || IdError {
            text: text.chars().take(80).collect(),
            what: "an entry id",
            why: "it is not `<ms>-<n>`",
        };
        let (ms, n) = text.split_once('-').ok_or_else(fail)?;
        Ok(Self { ms: ms.parse().map_err(|_| fail())?, n: n.parse().map_err(|_| fail())? })
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One worker invocation within a run: `<worker>@<id of the entry that caused it>`. The same cause gives
/// the same id, however often it is handled.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId {
    worker: Name,
    cause: EntryId,
}

impl StepId {
    /// The step of this worker that this entry causes.
    ///
    /// ```
    /// use nq_core::id::{EntryId, Name, StepId};
    ///
    /// let step = StepId::new(Name::new("charge").unwrap(), EntryId { ms: 1700, n: 4 });
    /// assert_eq!(step.to_string(), "charge@1700-4");
    /// assert_eq!((step.worker().as_str(), step.cause().n), ("charge", 4));
    /// ```
    pub fn new(worker: Name, cause: EntryId) -> Self {
        Self { worker, cause }
    }

    /// The worker that it runs. See [`new`](Self::new) for an example.
    pub fn worker(&self) -> &Name {
        &self.worker
    }

    /// The entry that caused it. See [`new`](Self::new) for an example.
    pub fn cause(&self) -> EntryId {
        self.cause
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.worker, self.cause)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for StepId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let fail = || IdError {
            text: text.chars().take(80).collect(),
            what: "a step id",
            why: "it is not `<worker>@<entry id>`",
        };
        let (worker, cause) = text.rsplit_once('@').ok_or_else(fail)?;
        Ok(Self { worker: Name::new(worker)?, cause: cause.parse()? })
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes the idempotency key of a step. It is the same on every attempt, in a rerun of its run, and when a store that
/// lost its last entries runs the step again, since no id that a store assigned goes into it.
pub fn step_key(run: &RunId, worker: &Name, parents: &[&str]) -> String {
    let run = run.numbered().map_or(run.as_str(), |(root, _)| root);
    let mut text = format!("{run}\n{worker}");
    for parent in parents {
        text.push('\n');
        text.push_str(parent);
    }
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// Makes the key of one emitted event, from the key of the step that emits it and the position of the emit.
pub fn emit_key(step_key: &str, position: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{step_key}\n{position}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_would_break_a_key_or_a_line() {
        for bad in ["", "a b", "a\nb", "\u{0}", &"x".repeat(201)] {
            assert!(RunId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "order:7", "ü/é", &"x".repeat(200)] {
            assert_eq!(RunId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn the_id_of_a_rerun_counts_and_leads_back_to_its_root() {
        let run = |text: &str| RunId::new(text).unwrap();
        for (of, rerun, root) in [
            ("a", "a~2", "a"),
            ("a~2", "a~3", "a"),
            ("a~9", "a~10", "a"),
            ("a~b", "a~b~2", "a~b"),
            ("a~", "a~~2", "a~"),
            ("~7", "~7~2", "~7"),
            ("a~2~b", "a~2~b~2", "a~2~b"),
        ] {
            assert_eq!(run(of).rerun().unwrap().as_str(), rerun);
            assert_eq!((run(of).root().as_str(), run(rerun).root().as_str()), (root, root));
            assert!(RunId::chosen(rerun).is_err(), "{rerun}");
        }
        for good in ["a", "a~", "a~b", "~7", "a~7b", "a~2~b"] {
            assert_eq!(RunId::chosen(good).unwrap(), run(good));
        }
        assert!(RunId::chosen("").is_err());
        assert!(run(&"x".repeat(198)).rerun().is_ok());
        let error = run(&"x".repeat(199)).rerun().unwrap_err();
        assert!(error.to_string().contains("200 bytes"), "{error}");
        assert!(run(&format!("a~{}", u64::MAX)).rerun().is_err());
    }

    #[test]
    fn a_step_of_a_rerun_has_the_key_that_it_had() {
        let key = |run: &str| step_key(&RunId::new(run).unwrap(), &Name::new("charge").unwrap(), &["k"]);
        assert_eq!(key("a"), key("a~2"));
        assert_eq!(key("a"), key("a~17"));
        assert_ne!(key("a"), key("b~2"));
        // Persisted outside: it must never change.
        assert_eq!(key("a"), "f6f42299-35bc-5cce-a06f-005eaf72a8e9");
    }

    #[test]
    fn entry_ids_count_without_gap_and_never_go_back_in_time() {
        let first = EntryId::default().next(5);
        assert_eq!((first.ms, first.n), (5, 1));
        let second = first.next(3);
        assert_eq!(second.to_string(), "5-2");
        assert!(second > first);
        assert_eq!("5-2".parse::<EntryId>().unwrap(), second);
        assert!("5".parse::<EntryId>().is_err());
    }

    #[test]
    fn step_ids_name_their_worker_and_cause() {
        let step: StepId = "mail@home@17-4".parse().unwrap();
        assert_eq!(step.worker().as_str(), "mail@home");
        assert_eq!(step.cause(), EntryId { ms: 17, n: 4 });
        assert_eq!(step.to_string(), "mail@home@17-4");
    }
}
