//! How many jobs an instance can take, by queue.

use std::collections::HashMap;

use nq_core::id::QueueName;
use nq_core::registry::Registry;
use nq_core::transaction::Want;

/// The free places of each queue, and which queues may have jobs for them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    queues: HashMap<QueueName, Queue>,
    /// The limits; workers with the same `queue` option share one.
    groups: Vec<Group>,
    /// How many times something was asked for.
    asked: u64,
}

#[derive(Debug)]
struct Queue {
    group: usize,
    /// Whether a turn should ask for its jobs: something may be there.
    hungry: bool,
    /// When it was asked for jobs the last time, by `Slots::asked`.
    asked: u64,
}

#[derive(Debug)]
struct Group {
    limit: u32,
    used: u32,
}

impl Slots {
    /// A place for each step that the workers may run at a time; `concurrency` for those that do not say.
    /// Workers that share a queue share the smallest limit that one of them has.
    pub(crate) fn new(registry: &Registry, concurrency: u32) -> Self {
        let mut slots = Self::default();
        let mut shared: HashMap<&str, usize> = HashMap::new();
        let mut own: HashMap<&str, usize> = HashMap::new();
        for (queue, step) in registry.queues() {
            let limit = step.def.concurrency.unwrap_or(concurrency).max(1);
            // A worker of several flows, or of several names, has a queue for each, and one limit.
            let group = match step.def.queue {
                Some(queue) => shared.entry(queue),
                None => own.entry(step.def.path),
            };
            let group = *group.or_insert_with(|| {
                slots.groups.push(Group { limit, used: 0 });
                slots.groups.len() - 1
            });
            slots.groups[group].limit = slots.groups[group].limit.min(limit);
            slots.queues.insert(queue.clone(), Queue { group, hungry: true, asked: 0 });
        }
        slots
    }

    /// What a turn should ask for: of every queue that may have jobs for a free place. Where there are not places
    /// enough for all, those come first that have not been asked for the longest time.
    pub(crate) fn wants(&mut self) -> Vec<Want> {
        let mut free: Vec<u32> = self.groups.iter().map(Group::free).collect();
        let mut sharing = vec![0; self.groups.len()];
        let mut hungry: Vec<_> = self.queues.iter_mut().filter(|(_, queue)| queue.hungry).collect();
        hungry.sort_unstable_by_key(|(_, queue)| queue.asked);
        for (_, queue) in &hungry {
            sharing[queue.group] += 1;
        }
        self.asked += 1;
        let mut budget = nq_core::limits::MAX_TURN_WRITES as u32;
        let mut wants = Vec::new();
        let mut left = hungry.len() as u32;
        for (name, queue) in hungry {
            // Queues that share a limit get equal parts of what is free. No queue takes what a turn can bring
            // from another: the job that is waited for may be in any.
            let max = free[queue.group].div_ceil(sharing[queue.group]).min(budget.div_ceil(left));
            left -= 1;
            budget -= max;
            free[queue.group] -= max;
            sharing[queue.group] -= 1;
            if max > 0 {
                queue.asked = self.asked;
                wants.push(Want { queue: name.clone(), max });
            }
        }
        wants
    }

    /// Whether a turn would ask for anything.
    pub(crate) fn is_hungry(&self) -> bool {
        self.queues.values().any(|queue| queue.hungry && self.groups[queue.group].free() > 0)
    }

    /// Every queue.
    pub(crate) fn queues(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }

    /// The queues that have a free place.
    pub(crate) fn open(&self) -> Vec<QueueName> {
        let open = self.queues.iter().filter(|(_, queue)| self.groups[queue.group].free() > 0);
        open.map(|(name, _)| name.clone()).collect()
    }

    /// Something may be in this queue.
    pub(crate) fn feed(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.hungry = true;
        }
    }

    /// Something may be in any queue.
    pub(crate) fn feed_all(&mut self) {
        for queue in self.queues.values_mut() {
            queue.hungry = true;
        }
    }

    /// This many jobs came of a want: fewer than asked for means that the queue is empty.
    pub(crate) fn got(&mut self, want: &Want, got: u32) {
        if let Some(queue) = self.queues.get_mut(&want.queue) {
            queue.hungry = got >= want.max;
        }
    }

    /// A job of this queue begins.
    pub(crate) fn take(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get(queue) {
            self.groups[queue.group].used += 1;
        }
    }

    /// A job of this queue is over.
    pub(crate) fn release(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get(queue) {
            let group = &mut self.groups[queue.group];
            group.used = group.used.saturating_sub(1);
        }
    }
}

impl Group {
    fn free(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use nq_core::def::WorkerDef;

    use super::*;

    const fn worker(name: &'static str, queue: Option<&'static str>, concurrency: Option<u32>) -> WorkerDef {
        WorkerDef { name, path: name, flows: &["f"], queue, concurrency, ..WorkerDef::DEFAULT }
    }
    static A: WorkerDef = worker("a", Some("shared"), Some(4));
    static B: WorkerDef = worker("b", Some("shared"), Some(3));
    static C: WorkerDef = worker("c", None, None);

    fn slots() -> Slots {
        Slots::new(&Registry::new([&A, &B, &C], []).unwrap(), 10)
    }

    fn total(slots: &mut Slots, of: &[&str]) -> u32 {
        let wants = slots.wants();
        wants.iter().filter(|want| of.contains(&want.queue.as_str())).map(|want| want.max).sum()
    }

    #[test]
    fn workers_that_share_a_queue_share_the_smallest_limit() {
        let mut slots = slots();
        assert_eq!(total(&mut slots, &["f/a", "f/b"]), 3);
        assert_eq!(total(&mut slots, &["f/c"]), 10);
        let want = Want { queue: QueueName::of("f", "a"), max: 2 };
        slots.got(&want, 2);
        slots.take(&want.queue);
        slots.take(&want.queue);
        assert_eq!(total(&mut slots, &["f/a", "f/b"]), 1);
        slots.release(&want.queue);
        assert_eq!(total(&mut slots, &["f/a", "f/b"]), 2);
    }

    #[test]
    fn every_queue_is_asked_for_something() {
        let wants = named(20, None, 300).wants();
        assert_eq!(wants.len(), 20);
        assert!(wants.iter().all(|want| want.max == 25), "{wants:?}");
    }

    /// The queues that such turns ask, each of which brings all that it asks for and ends it at once.
    fn asked_by(slots: &mut Slots, turns: usize) -> std::collections::BTreeSet<String> {
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..turns {
            for want in slots.wants() {
                slots.got(&want, want.max);
                asked.insert(want.queue.to_string());
            }
        }
        asked
    }

    fn named(count: usize, queue: Option<&'static str>, limit: u32) -> Slots {
        let many: Vec<&'static WorkerDef> = (0..count)
            .map(|n| {
                let name: &'static str = format!("w{n}").leak();
                &*Box::leak(Box::new(worker(name, queue, Some(limit))))
            })
            .collect();
        Slots::new(&Registry::new(many, []).unwrap(), 10)
    }

    #[test]
    fn queues_that_share_one_place_are_asked_in_turn() {
        assert_eq!(asked_by(&mut named(7, Some("shared"), 1), 7).len(), 7);
        assert_eq!(asked_by(&mut named(7, Some("shared"), 3), 3).len(), 7);
    }

    #[test]
    fn more_queues_than_a_turn_can_ask_are_asked_in_turn() {
        assert_eq!(asked_by(&mut named(1_200, None, 5), 3).len(), 1_200);
    }

    #[test]
    fn a_queue_that_gave_less_than_asked_is_left_alone_until_fed() {
        let mut slots = slots();
        let want = Want { queue: QueueName::of("f", "c"), max: 10 };
        slots.got(&want, 3);
        (0..3).for_each(|_| slots.take(&want.queue));
        assert_eq!(total(&mut slots, &["f/c"]), 0);
        slots.feed(&want.queue);
        assert_eq!(total(&mut slots, &["f/c"]), 7);
    }
}
