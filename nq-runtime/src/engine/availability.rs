//! From which queues an instance can take how many jobs: the queues with free places, in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nq_core::id::QueueName;
use nq_core::registry::{FlowStep, Registry};
use nq_core::transaction::{Transaction, Want};
use tokio::time::Instant;

/// How long a queue that was empty is not asked for jobs by turns that are taken for something else.
const FEED_EVERY: Duration = Duration::from_millis(25);

/// The free places of each queue, and which queues may have jobs for them.
#[derive(Debug)]
pub(super) struct Availability {
    queues: HashMap<QueueName, Queue>,
    /// The limits; workers with the same `queue` option share one.
    groups: Vec<Group>,
    /// How many times turns have asked for jobs.
    asked: u64,
    /// When turns ask again for jobs of queues that were empty.
    feed_at: Instant,
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct Queue {
    group: usize,
    /// Whether a turn should ask for its jobs: something may be there.
    hungry: bool,
    /// When a turn last asked it for jobs, by the count `Availability::asked`.
    asked: u64,
}

#[derive(Debug)]
struct Group {
    limit: u32,
    used: u32,
}

impl Availability {
    /// A place for each step that the workers may run at a time; `concurrency` for those that do not say.
    /// Workers that share a queue share the smallest limit that one of them has.
    pub(super) fn new(registry: Arc<Registry>, concurrency: u32, now: Instant) -> Self {
        let (mut queues, mut groups) = (HashMap::new(), Vec::<Group>::new());
        let mut shared: HashMap<&str, usize> = HashMap::new();
        let mut own: HashMap<&str, usize> = HashMap::new();
        for (queue, step) in registry.queues() {
            let limit = step.worker.concurrency.unwrap_or(concurrency).max(1);
            // A worker of several flows, or of several names, has a queue for each, and one limit.
            let group = match &step.worker.queue {
                Some(queue) => shared.entry(queue),
                None => own.entry(&step.worker.id),
            };
            let group = *group.or_insert_with(|| {
                groups.push(Group { limit, used: 0 });
                groups.len() - 1
            });
            groups[group].limit = groups[group].limit.min(limit);
            queues.insert(queue.clone(), Queue { group, hungry: true, asked: 0 });
        }
        Self { queues, groups, asked: 0, feed_at: now, registry }
    }

    /// The jobs that a turn should ask for, from every queue that may have jobs and has a free place. If there are not
    /// enough places for all queues, the queues come first that no turn has asked for the longest time.
    pub(super) fn wants(&mut self) -> Vec<Want> {
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
            // Queues that share a limit get equal parts of the free places. One queue must not use up all the jobs that a
            // turn can bring: the job that the instance waits for may be in another.
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
    pub(super) fn is_hungry(&self) -> bool {
        self.queues.values().any(|queue| queue.hungry && self.groups[queue.group].free() > 0)
    }

    /// Every queue.
    pub(super) fn queues(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }

    /// The queues that have a free place.
    pub(super) fn open(&self) -> Vec<QueueName> {
        let open = self.queues.iter().filter(|(_, queue)| self.groups[queue.group].free() > 0);
        open.map(|(name, _)| name.clone()).collect()
    }

    /// Notes that this queue may have jobs.
    pub(super) fn feed(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.hungry = true;
        }
    }

    /// Notes that any queue may have jobs.
    pub(super) fn feed_all(&mut self) {
        for queue in self.queues.values_mut() {
            queue.hungry = true;
        }
    }

    /// Notes now and then that any queue may have jobs: under load there is always a turn, so the engine never waits for
    /// the hint that an empty queue has a job.
    pub(super) fn feed_in_time(&mut self, now: Instant) {
        if now >= self.feed_at {
            self.feed_at = now + FEED_EVERY;
            self.feed_all();
        }
    }

    /// Notes that a write of a step of the queue `of` may enqueue jobs, so that the same turn asks for them.
    pub(super) fn feed_followers(&mut self, tx: &Transaction, of: Option<&QueueName>) {
        for spec in tx.jobs.iter().map(|job| &job.spec).chain(tx.joins.iter().map(|join| &join.spec)) {
            self.feed(&spec.queue);
        }
        let Some((flow, step)) = of.and_then(|queue| self.registry.step(queue)) else { return };
        let gathers = step.spec.holds.iter().filter_map(|gather| flow.steps.get(gather));
        for queue in gathers.flat_map(FlowStep::queues) {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.hungry = true;
            }
        }
    }

    /// Notes how many jobs a want has brought. If there are fewer than the want asked for, the queue is empty.
    pub(super) fn got(&mut self, want: &Want, got: u32) {
        if let Some(queue) = self.queues.get_mut(&want.queue) {
            queue.hungry = got >= want.max;
        }
    }

    /// A job of this queue begins.
    pub(super) fn take(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get(queue) {
            self.groups[queue.group].used += 1;
        }
    }

    /// A job of this queue is over.
    pub(super) fn release(&mut self, queue: &QueueName) {
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

    fn of(defs: Vec<&'static WorkerDef>) -> Availability {
        Availability::new(Arc::new(Registry::new(defs, []).unwrap()), 10, Instant::now())
    }

    fn three() -> Availability {
        of(vec![&A, &B, &C])
    }

    fn total(available: &mut Availability, of: &[&str]) -> u32 {
        let wants = available.wants();
        wants.iter().filter(|want| of.contains(&want.queue.as_str())).map(|want| want.max).sum()
    }

    #[test]
    fn workers_that_share_a_queue_share_the_smallest_limit() {
        let mut available = three();
        assert_eq!(total(&mut available, &["f/a", "f/b"]), 3);
        assert_eq!(total(&mut available, &["f/c"]), 10);
        let want = Want { queue: QueueName::of("f", "a"), max: 2 };
        available.got(&want, 2);
        available.take(&want.queue);
        available.take(&want.queue);
        assert_eq!(total(&mut available, &["f/a", "f/b"]), 1);
        available.release(&want.queue);
        assert_eq!(total(&mut available, &["f/a", "f/b"]), 2);
    }

    #[test]
    fn every_queue_is_asked_for_something() {
        let wants = named(20, None, 300).wants();
        assert_eq!(wants.len(), 20);
        assert!(wants.iter().all(|want| want.max == 25), "{wants:?}");
    }

    /// The queues that such turns ask, each of which brings all that it asks for and ends it at once.
    fn asked_by(available: &mut Availability, turns: usize) -> std::collections::BTreeSet<String> {
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..turns {
            for want in available.wants() {
                available.got(&want, want.max);
                asked.insert(want.queue.to_string());
            }
        }
        asked
    }

    fn named(count: usize, queue: Option<&'static str>, limit: u32) -> Availability {
        let many: Vec<&'static WorkerDef> = (0..count)
            .map(|n| {
                let name: &'static str = format!("w{n}").leak();
                &*Box::leak(Box::new(worker(name, queue, Some(limit))))
            })
            .collect();
        of(many)
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
        let mut available = three();
        let want = Want { queue: QueueName::of("f", "c"), max: 10 };
        available.got(&want, 3);
        (0..3).for_each(|_| available.take(&want.queue));
        assert_eq!(total(&mut available, &["f/c"]), 0);
        available.feed(&want.queue);
        assert_eq!(total(&mut available, &["f/c"]), 7);
    }
}
