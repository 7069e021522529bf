//! The states of a job, in one table: what a state is called, how a store writes it down, and how it finds the jobs that
//! are in it. A store goes by the table and by [`JobState::parts`], so that it need not know a state in order to keep it.

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, QueueName};
#[cfg(doc)]
use crate::store::Tick;

/// The state of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobState {
    /// It waits in its queue.
    Queued,
    /// An instance holds it until the deadline passes; the fence says which lease it is.
    Leased {
        /// Who holds it.
        instance: InstanceId,
        /// When the lease expires, by the store's clock.
        deadline_ms: u64,
    },
    /// It waits for a time.
    Delayed {
        /// When it goes to its queue, by the store's clock.
        due_ms: u64,
    },
    /// It is a dead letter: kept with its error until its run goes.
    Dead {
        /// Why it died.
        error: String,
    },
}

/// Which state a job is in, without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// [`JobState::Queued`].
    Queued,
    /// [`JobState::Leased`].
    Leased,
    /// [`JobState::Delayed`].
    Delayed,
    /// [`JobState::Dead`].
    Dead,
}

/// How a store finds the jobs of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateIndex {
    /// In each queue, those that came first before the others.
    Queue,
    /// By the instance that holds them, and by the moment until when it does.
    Holder,
    /// By the moment at which something happens to them.
    Time,
    /// In each queue, in no order of their own.
    List,
}

/// What is true of a state whatever belongs to it.
struct Row {
    kind: StateKind,
    name: &'static str,
    letter: char,
    index: StateIndex,
    waits: bool,
}

const fn row(kind: StateKind, name: &'static str, letter: char, index: StateIndex, waits: bool) -> Row {
    Row { kind, name, letter, index, waits }
}

/// The states. The place of one is its code. All of it is persisted, but for the last column.
const TABLE: [Row; StateKind::COUNT] = [
    row(StateKind::Queued, "queued", 'q', StateIndex::Queue, true),
    row(StateKind::Leased, "leased", 'l', StateIndex::Holder, false),
    row(StateKind::Delayed, "delayed", 'd', StateIndex::Time, true),
    row(StateKind::Dead, "dead", 'x', StateIndex::List, false),
];

const _: () = {
    let mut code = 0;
    while code < TABLE.len() {
        assert!(TABLE[code].kind as usize == code, "the table has the states in the order of `StateKind`");
        code += 1;
    }
};

impl StateKind {
    /// How many states there are.
    pub const COUNT: usize = Self::Dead as usize + 1;

    /// Every state, in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.kind)
    }

    /// What it is called where people read it, and in the names of columns, indexes and keys. Persisted.
    pub fn name(self) -> &'static str {
        TABLE[self.code()].name
    }

    /// The letter that stands for it where a record is text; `g` is taken by Redis. Persisted.
    pub fn letter(self) -> char {
        TABLE[self.code()].letter
    }

    /// The number that stands for it, from 0. Persisted.
    pub fn code(self) -> usize {
        self as usize
    }

    /// The state that a number stands for.
    pub fn of_code(code: i64) -> Option<Self> {
        TABLE.get(usize::try_from(code).ok()?).map(|row| row.kind)
    }

    /// The state that a letter stands for.
    pub fn of_letter(letter: char) -> Option<Self> {
        TABLE.iter().find(|row| row.letter == letter).map(|row| row.kind)
    }

    /// How the jobs that are in it are found.
    pub fn index(self) -> StateIndex {
        TABLE[self.code()].index
    }

    /// Whether a job in it waits for an instance that takes its queue, now or later.
    pub fn waits(self) -> bool {
        TABLE[self.code()].waits
    }
}

/// What belongs to a state, under names that are the same for every state: a store has a column or a word for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateParts<'a> {
    /// Which state it is.
    pub kind: StateKind,
    /// The moment at which time ends it, by the store's clock; 0 if time does not.
    pub at_ms: u64,
    /// The instance that holds the job.
    pub holder: Option<&'a InstanceId>,
    /// Why the job is dead.
    pub error: Option<&'a str>,
}

impl JobState {
    /// What a store writes of it.
    pub fn parts(&self) -> StateParts<'_> {
        let plain = |kind, at_ms| StateParts { kind, at_ms, holder: None, error: None };
        match self {
            Self::Queued => plain(StateKind::Queued, 0),
            Self::Leased { instance, deadline_ms } => {
                StateParts { holder: Some(instance), ..plain(StateKind::Leased, *deadline_ms) }
            }
            Self::Delayed { due_ms } => plain(StateKind::Delayed, *due_ms),
            Self::Dead { error } => StateParts { error: Some(error), ..plain(StateKind::Dead, 0) },
        }
    }

    /// The state of which a store has read these parts, as [`JobState::parts`] tells them. None if one is missing.
    pub fn of_parts(
        kind: StateKind,
        at_ms: u64,
        holder: Option<InstanceId>,
        error: Option<String>,
    ) -> Option<Self> {
        Some(match kind {
            StateKind::Queued => Self::Queued,
            StateKind::Leased => Self::Leased { instance: holder?, deadline_ms: at_ms },
            StateKind::Delayed => Self::Delayed { due_ms: at_ms },
            StateKind::Dead => Self::Dead { error: error.unwrap_or_default() },
        })
    }

    /// Which state it is.
    pub fn kind(&self) -> StateKind {
        self.parts().kind
    }

    /// The number of the attempt to show for a job in this state: of a dead letter the last one, else the one that runs or
    /// comes next. `ended` is how many attempts have ended.
    pub fn attempt(&self, ended: u32) -> u32 {
        if self.kind() == StateKind::Dead { ended.max(1) } else { ended + 1 }
    }
}

/// The counts of a queue: of its jobs in each state, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueCounts {
    /// The queue.
    pub queue: QueueName,
    /// Jobs that wait for an instance.
    pub queued: u64,
    /// Jobs that an instance holds.
    pub leased: u64,
    /// Jobs that wait for a time.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether it is paused, so that none of its jobs is leased.
    pub paused: bool,
    /// Whether an instance takes jobs from it and has said so by a [`Tick`] within the last lease.
    #[serde(default)]
    pub served: bool,
}

impl QueueCounts {
    /// A queue without jobs, which is not paused and which nobody serves.
    pub fn new(queue: QueueName) -> Self {
        Self { queue, queued: 0, leased: 0, delayed: 0, dead: 0, paused: false, served: false }
    }

    /// How many jobs are in a state.
    ///
    /// ```
    /// use nq_core::id::QueueName;
    /// use nq_core::record::StateKind;
    /// use nq_core::store::QueueCounts;
    ///
    /// let counts = QueueCounts { delayed: 2, dead: 1, ..QueueCounts::new(QueueName::of("order", "ship")) };
    /// assert_eq!(counts.count(StateKind::Delayed), 2);
    /// assert_eq!((counts.jobs(), counts.waiting()), (3, 2));
    /// ```
    pub fn count(&self, kind: StateKind) -> u64 {
        [self.queued, self.leased, self.delayed, self.dead][kind.code()]
    }

    /// The same, for who counts.
    pub fn count_mut(&mut self, kind: StateKind) -> &mut u64 {
        match kind {
            StateKind::Queued => &mut self.queued,
            StateKind::Leased => &mut self.leased,
            StateKind::Delayed => &mut self.delayed,
            StateKind::Dead => &mut self.dead,
        }
    }

    /// How many jobs it has, in whatever state.
    pub fn jobs(&self) -> u64 {
        StateKind::all().map(|kind| self.count(kind)).sum()
    }

    /// How many of its jobs wait for an instance that takes them, now or later.
    pub fn waiting(&self) -> u64 {
        StateKind::all().filter(|kind| kind.waits()).map(|kind| self.count(kind)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_state_is_read_as_it_was_written_and_named_once() {
        let instance = InstanceId::new("i").unwrap();
        let mut kinds = Vec::new();
        for state in [
            JobState::Queued,
            JobState::Leased { instance, deadline_ms: 5 },
            JobState::Delayed { due_ms: 6 },
            JobState::Dead { error: "no".into() },
        ] {
            let StateParts { kind, at_ms, holder, error } = state.parts();
            let again = JobState::of_parts(kind, at_ms, holder.cloned(), error.map(str::to_owned));
            assert_eq!(again, Some(state.clone()));
            assert_eq!(StateKind::of_code(kind.code() as i64), Some(kind));
            assert_eq!(StateKind::of_letter(kind.letter()), Some(kind));
            assert_eq!(serde_json::to_value(&state).unwrap()["state"], kind.name());
            let mut counts = QueueCounts::new(QueueName::of("f", "a"));
            *counts.count_mut(kind) = 7;
            assert_eq!(counts.count(kind), 7);
            assert_eq!(serde_json::to_value(&counts).unwrap()[kind.name()], 7);
            kinds.push(kind);
        }
        assert!(StateKind::all().eq(kinds), "every state is tried here");
        assert_eq!(StateKind::all().map(StateKind::letter).collect::<BTreeSet<_>>().len(), StateKind::COUNT);
        assert_eq!(
            (StateKind::of_code(-1), StateKind::of_code(99), StateKind::of_letter('g')),
            (None, None, None)
        );
        assert_eq!(JobState::of_parts(StateKind::Leased, 5, None, None), None);
    }
}
