//! Queues and jobs, for people to look at.

use std::collections::{BTreeMap, BTreeSet};

use nq_core::id::{QueueName, RunId, StepId};
use nq_core::ledger;
use nq_core::record::JobState;
use nq_core::store::{JobSummary, JobsQuery, QueueCounts, StoreError};
use redis::{Pipeline, Value};

use super::library::DAMAGED;
use super::partition::Partition;
use super::reply::{Reply, lossy, text};
use super::{RedisStore, codec};

/// How many members of an index are looked at in one call.
const PAGE: usize = 1_000;

type Key = (RunId, StepId);

/// Until when somebody takes jobs from each queue, by its name.
fn until(reply: Value) -> BTreeMap<String, u64> {
    let pairs = reply.into_map_iter().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let one = |(queue, until_ms)| Some((text(queue)?, text(until_ms)?.parse().ok()?));
    pairs.into_iter().filter_map(one).collect()
}

impl RedisStore {
    pub(super) async fn count_queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        const OP: &str = "queues";
        let mut all: BTreeMap<QueueName, QueueCounts> = BTreeMap::new();
        for partition in &self.partitions {
            let queues = names(OP, partition, "queues").await?;
            let paused: BTreeSet<_> = names(OP, partition, "paused").await?.into_iter().collect();
            let mut counts = Pipeline::with_capacity(3 * queues.len() + 2);
            counts.cmd("TIME").cmd("HGETALL").arg(partition.key("served"));
            for queue in &queues {
                counts.cmd("XLEN").arg(partition.queue(queue));
                for index in ["delayed", "dead"] {
                    counts.cmd("ZCARD").arg(partition.key(&format!("{index}:{queue}")));
                }
            }
            let replies = partition.calls.look_all(OP, &counts).await?;
            let mut replies = Reply::new(OP, Value::Array(replies))?;
            let seconds = replies.list()?.number()?;
            let now_ms = partition.clock.as_ref().map_or(seconds * 1_000, |clock| clock());
            let served = until(replies.value()?);
            let none = |queue: &QueueName| QueueCounts {
                paused: paused.contains(queue),
                served: served.get(queue.as_str()).is_some_and(|until_ms| now_ms < *until_ms),
                ..QueueCounts::new(queue.clone())
            };
            for queue in queues {
                let none = none(&queue);
                let served = none.served;
                let counts = all.entry(queue).or_insert(none);
                counts.queued += replies.number()?;
                counts.delayed += replies.number()?;
                counts.dead += replies.number()?;
                counts.served |= served;
            }
            // The buckets tell where to look, the records who is leased.
            for job in self.summaries(leased(OP, partition).await?).await? {
                if matches!(job.state, JobState::Leased { .. }) {
                    // One that no job has ever waited in is not known yet.
                    let none = none(&job.queue);
                    all.entry(job.queue).or_insert(none).leased += 1;
                }
            }
        }
        Ok(all.into_values().collect())
    }

    pub(super) async fn list_jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        let limit = query.page_size();
        let mut page = Page { after: query.after.clone(), limit, keys: BTreeSet::new() };
        let mut jobs = Vec::new();
        // Jobs that are gone or others when they are looked at make room for the next ones.
        while jobs.len() < limit {
            page.keys.clear();
            match &query.run {
                Some(run) => self.of_run(run, &mut page).await?,
                None => self.of_queues(query, &mut page).await?,
            }
            let full = page.keys.len() >= limit;
            page.after = page.keys.last().cloned();
            for job in self.summaries(std::mem::take(&mut page.keys)).await? {
                let wanted = query.queue.as_ref().is_none_or(|queue| job.queue == *queue)
                    && (!query.dead || matches!(job.state, JobState::Dead { .. }));
                if wanted && jobs.len() < limit {
                    jobs.push(job);
                }
            }
            if !full {
                break;
            }
        }
        Ok(jobs)
    }

    /// The jobs of a run.
    async fn of_run(&self, run: &RunId, page: &mut Page) -> Result<(), StoreError> {
        const OP: &str = "jobs";
        let partition = self.partition(run);
        let record = partition.calls.look(OP, redis::cmd("GET").arg(partition.run(run))).await?;
        for (step, _) in codec::job_lines(&lossy(record)) {
            if let Ok(step) = step.parse() {
                page.take((run.clone(), step));
            }
        }
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(partition.jobs(run)).arg(&cursor).arg("COUNT").arg(PAGE);
            let mut reply = Reply::new(OP, partition.calls.look(OP, &command).await?)?;
            cursor = reply.text()?;
            for step in reply.list()?.texts()?.into_iter().step_by(2) {
                if let Ok(step) = step.parse() {
                    page.take((run.clone(), step));
                }
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// The jobs of a queue or of all, from the tickets, indexes and buckets. Buckets are not by queue.
    async fn of_queues(&self, query: &JobsQuery, page: &mut Page) -> Result<(), StoreError> {
        const OP: &str = "jobs";
        for partition in &self.partitions {
            let queues = match &query.queue {
                Some(queue) => vec![queue.clone()],
                None => names(OP, partition, "queues").await?,
            };
            for queue in queues {
                let indexes: &[&str] = if query.dead { &["dead"] } else { &["delayed", "dead"] };
                for index in indexes {
                    members(partition, &format!("{index}:{queue}"), page).await?;
                }
                if !query.dead {
                    tickets(partition, &queue, page).await?;
                }
            }
            if !query.dead {
                leased(OP, partition).await?.into_iter().for_each(|key| page.take(key));
            }
        }
        Ok(())
    }

    /// What the records say of these jobs.
    async fn summaries(&self, keys: BTreeSet<Key>) -> Result<Vec<JobSummary>, StoreError> {
        const OP: &str = "jobs";
        let mut found = BTreeMap::new();
        for (at, partition) in self.partitions.iter().enumerate() {
            let here = keys.iter().filter(|(run, _)| self.partition_index(run) == at);
            let mut steps: BTreeMap<&RunId, Vec<&StepId>> = BTreeMap::new();
            here.for_each(|(run, step)| steps.entry(run).or_default().push(step));
            let mut records = Pipeline::with_capacity(2 * steps.len());
            for (run, steps) in &steps {
                let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
                records.cmd("GET").arg(partition.run(run));
                records.cmd("HMGET").arg(partition.jobs(run)).arg(steps);
            }
            let mut replies = partition.calls.look_all(OP, &records).await?.into_iter();
            for (run, steps) in steps {
                let record = replies.next().map(lossy).unwrap_or_default();
                let fields =
                    replies.next().and_then(|fields| fields.into_sequence().ok()).unwrap_or_default();
                let head = codec::run(run.clone(), record.lines().next().unwrap_or_default());
                let lines: BTreeMap<_, _> = codec::job_lines(&record).collect();
                for (at, step) in steps.into_iter().enumerate() {
                    let field = fields.get(at).filter(|field| **field != Value::Nil).cloned().map(lossy);
                    let line = lines.get(&*step.to_string()).map(ToString::to_string).or(field);
                    let (Some(line), Some(head)) = (line, &head) else { continue };
                    let key = (run.clone(), step.clone());
                    let job = codec::job(&line).map(|job| job.summary(key.clone()));
                    let job = job.or_else(|| unreadable(key.clone(), head.flow.as_str()));
                    found.extend(job.map(|job| (key, job)));
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

/// The first keys after one, in the order of run and step.
struct Page {
    after: Option<Key>,
    limit: usize,
    keys: BTreeSet<Key>,
}

impl Page {
    fn take(&mut self, key: Key) {
        if self.after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        self.keys.insert(key);
        if self.keys.len() > self.limit {
            self.keys.pop_last();
        }
    }
}

async fn names(op: &'static str, partition: &Partition, set: &str) -> Result<Vec<QueueName>, StoreError> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(partition.key(set));
    let reply = Reply::new(op, partition.calls.look(op, &command).await?)?;
    // Whatever else is among them is no queue of ours.
    Ok(reply.texts()?.iter().filter_map(|name| QueueName::new(name).ok()).collect())
}

/// The jobs that the buckets of lanes say were leased.
async fn leased(op: &'static str, partition: &Partition) -> Result<BTreeSet<Key>, StoreError> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(partition.key("leases")).arg(0).arg(-1);
    let instances = Reply::new(op, partition.calls.look(op, &command).await?)?.texts()?;
    let mut lanes = Pipeline::with_capacity(instances.len());
    for instance in &instances {
        lanes.cmd("HVALS").arg(partition.key(&format!("lane:{instance}")));
    }
    let mut found = BTreeSet::new();
    for lane in partition.calls.look_all(op, &lanes).await? {
        // Of all that a lane has, only buckets have such lines.
        for value in lane.into_sequence().unwrap_or_default().into_iter().map(lossy) {
            for line in value.lines().skip(1) {
                let mut words = line.split(' ');
                if let (Some(run), Some(step), Some(_), Some(_)) =
                    (words.next(), words.next(), words.next(), words.next())
                    && let (Ok(run), Ok(step)) = (run.parse(), step.parse())
                {
                    found.insert((run, step));
                }
            }
        }
    }
    Ok(found)
}

async fn members(partition: &Partition, key: &str, page: &mut Page) -> Result<(), StoreError> {
    const OP: &str = "jobs";
    for from in (0..).step_by(PAGE) {
        let mut command = redis::cmd("ZRANGE");
        command.arg(partition.key(key)).arg(from).arg(from + PAGE - 1);
        let members = Reply::new(OP, partition.calls.look(OP, &command).await?)?.texts()?;
        let last = members.len() < PAGE;
        for member in members {
            if let Some((run, step)) = member.split_once(' ')
                && let (Ok(run), Ok(step)) = (run.parse(), step.parse())
            {
                page.take((run, step));
            }
        }
        if last {
            break;
        }
    }
    Ok(())
}

async fn tickets(partition: &Partition, queue: &QueueName, page: &mut Page) -> Result<(), StoreError> {
    const OP: &str = "jobs";
    let mut from = "-".to_owned();
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(partition.queue(queue)).arg(&from).arg("+").arg("COUNT").arg(PAGE);
        let mut tickets = Reply::new(OP, partition.calls.look(OP, &command).await?)?;
        let mut count = 0;
        while !tickets.is_empty() {
            let mut ticket = tickets.list()?;
            from = format!("({}", ticket.text()?);
            let fields = ticket.list()?.texts()?;
            if let [_, run, _, step, ..] = &fields[..]
                && let (Ok(run), Ok(step)) = (run.parse(), step.parse())
            {
                page.take((run, step));
            }
            count += 1;
        }
        if count < PAGE {
            return Ok(());
        }
    }
}

/// A job whose record cannot be read, shown as the dead letter that it becomes when somebody would take it.
fn unreadable((run, step): Key, flow: &str) -> Option<JobSummary> {
    let queue = QueueName::new(format!("{flow}/{}", step.worker())).ok()?;
    let error = ledger::unreadable(&run, &step, DAMAGED);
    let state = JobState::Dead { error };
    Some(JobSummary { run, step, queue, state, attempt: 1, failures: 0, crashes: 0 })
}
