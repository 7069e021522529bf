//! The records as maps, with the indexes that keep every act at the cost of a search. One rule keeps the
//! indexes true: a job or a run enters and leaves them only in `put_job`, `remove_job`, `put_run` and `remove`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;

use nq_core::entry::Entry;
use nq_core::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
use nq_core::ledger::{Damage, Records};
use nq_core::record::{
    GatherRecord, Input, JobRecord, JobState, LaneRecord, RunRecord, StateKind, TickRecord,
};
use nq_core::status::RunStatus;
use nq_core::store::QueueCounts;

/// Everything that the store knows.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// The runs; ordered, since jobs are listed in the order of run and step.
    pub(super) runs: BTreeMap<RunId, RunMaps>,
    /// The runs in the order in which they started, for each flow or all and each status or all.
    pub(super) index: HashMap<(Option<Name>, Option<RunStatus>), BTreeMap<u64, RunId>>,
    /// The finished runs by the moment of their end: those that completed, and the others.
    pub(super) completed: BTreeSet<(u64, RunId)>,
    pub(super) failed: BTreeSet<(u64, RunId)>,
    /// Every queue that has or had jobs or was paused.
    pub(super) queues: BTreeMap<QueueName, Queue>,
    /// The jobs in each state, by the moment at which time ends it: but for the queued ones, which their queues have.
    states: [BTreeSet<(u64, RunId, StepId)>; StateKind::COUNT],
    /// The runs that have ended and still have unfinished jobs.
    pub(super) ending: BTreeSet<RunId>,
    /// Until when each queue counts as served, by the reports of instances.
    pub(super) served: BTreeMap<QueueName, u64>,
    pub(super) lanes: HashMap<InstanceId, LaneRecord>,
    pub(super) tick: TickRecord,
    /// Counts starts and places in queues, which need an order.
    sequence: u64,
    /// The wake-ups to send when the act is over.
    pub(super) news: News,
}

/// What an act brought that others may wait for.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) runs: BTreeSet<RunId>,
    pub(super) queues: BTreeSet<QueueName>,
}

/// One run.
#[derive(Debug, Default)]
pub(super) struct RunMaps {
    /// None only within the act that starts it, which writes its first entry and job before its record.
    pub(super) record: Option<RunRecord>,
    /// Its place among the starts.
    started: u64,
    /// The timeline: the entry `n` is at `n - 1`.
    pub(super) entries: Vec<Entry>,
    pub(super) jobs: BTreeMap<StepId, Job>,
    gathers: Vec<GatherRecord>,
    /// The events that each gather has got, in the order emitted.
    pub(super) gathered: HashMap<Name, Vec<EntryId>>,
    /// The unpaired events of each join, by side and value. Empty ones are removed.
    joins: BTreeMap<(Name, u32, String), VecDeque<Input>>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) record: JobRecord,
    /// Its place in its queue, while it is queued.
    place: u64,
}

/// Where the jobs of one worker wait.
#[derive(Debug)]
pub(super) struct Queue {
    /// The queued ones, first come first.
    pub(super) queued: BTreeMap<u64, (RunId, StepId)>,
    /// All of them, whatever their state.
    pub(super) jobs: BTreeSet<(RunId, StepId)>,
    pub(super) counts: QueueCounts,
}

impl Queue {
    fn new(name: QueueName) -> Self {
        Self { queued: BTreeMap::new(), jobs: BTreeSet::new(), counts: QueueCounts::new(name) }
    }
}

impl Maps {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A queue, made when it is first asked for.
    pub(super) fn queue(&mut self, name: &QueueName) -> &mut Queue {
        self.queues.entry(name.clone()).or_insert_with(|| Queue::new(name.clone()))
    }

    /// The jobs in a state other than queued, each behind the moment at which time ends it.
    pub(super) fn in_state(&self, kind: StateKind) -> &BTreeSet<(u64, RunId, StepId)> {
        &self.states[kind.code()]
    }

    /// Puts a job into the indexes of its state.
    fn enter(&mut self, job: &JobRecord, place: u64) {
        let state = job.state.parts();
        let queue = self.queue(&job.spec.queue);
        queue.jobs.insert((job.run.clone(), job.step.clone()));
        *queue.counts.count_mut(state.kind) += 1;
        if state.kind == StateKind::Queued {
            queue.queued.insert(place, (job.run.clone(), job.step.clone()));
            self.news.queues.insert(job.spec.queue.clone());
        } else {
            self.states[state.kind.code()].insert((state.at_ms, job.run.clone(), job.step.clone()));
        }
    }

    /// Takes a job out of every index.
    fn leave(&mut self, job: &JobRecord, place: u64) {
        let state = job.state.parts();
        let queue = self.queue(&job.spec.queue);
        queue.jobs.remove(&(job.run.clone(), job.step.clone()));
        *queue.counts.count_mut(state.kind) -= 1;
        if state.kind == StateKind::Queued {
            queue.queued.remove(&place);
        } else {
            self.states[state.kind.code()].remove(&(state.at_ms, job.run.clone(), job.step.clone()));
        }
    }

    /// The finished runs that ended like this.
    fn ended(&mut self, status: RunStatus) -> &mut BTreeSet<(u64, RunId)> {
        if status == RunStatus::Completed { &mut self.completed } else { &mut self.failed }
    }

    /// Removes a run and all that belongs to it.
    pub(super) fn remove(&mut self, id: &RunId) {
        let Some(run) = self.runs.remove(id) else { return };
        for job in run.jobs.values() {
            self.leave(&job.record, job.place);
        }
        if let Some(record) = &run.record {
            self.unlist(record, run.started);
            if let Some(ended_ms) = record.ended_ms {
                self.ended(record.status).remove(&(ended_ms, id.clone()));
            }
        }
        self.ending.remove(id);
        self.news.runs.insert(id.clone());
    }

    /// Drops unfinished jobs of a run that has ended. Returns how many.
    pub(super) fn drop_some(&mut self, id: &RunId, max: usize) -> usize {
        let Some(run) = self.runs.get_mut(id) else { return 0 };
        let unfinished = run.jobs.values().filter(|job| job.record.state.kind() != StateKind::Dead);
        let mut steps: Vec<_> = unfinished.take(max + 1).map(|job| job.record.step.clone()).collect();
        let more = steps.len() > max;
        steps.truncate(max);
        let jobs: Vec<_> = steps.iter().filter_map(|step| run.jobs.remove(step)).collect();
        for job in &jobs {
            self.leave(&job.record, job.place);
        }
        if more {
            self.ending.insert(id.clone());
        } else {
            self.ending.remove(id);
        }
        jobs.len()
    }

    /// A run that ended while the clock was ahead counts as ended now.
    pub(super) fn end_now(&mut self, id: &RunId, now_ms: u64) {
        let Some(record) = self.runs.get_mut(id).and_then(|run| run.record.as_mut()) else { return };
        let (status, before) = (record.status, record.ended_ms.replace(now_ms));
        if let Some(before_ms) = before {
            self.ended(status).remove(&(before_ms, id.clone()));
        }
        self.ended(status).insert((now_ms, id.clone()));
    }

    fn list(&mut self, run: &RunRecord, started: u64) {
        for key in listings(run) {
            self.index.entry(key).or_default().insert(started, run.run.clone());
        }
    }

    fn unlist(&mut self, run: &RunRecord, started: u64) {
        for key in listings(run) {
            if let Some(runs) = self.index.get_mut(&key) {
                runs.remove(&started);
                if runs.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }

    /// The maps of a run; they are made when an act that starts the run asks for the first time.
    fn maps(&mut self, run: &RunId) -> &mut RunMaps {
        self.runs.entry(run.clone()).or_default()
    }
}

/// Every listing that a run is in.
fn listings(run: &RunRecord) -> [(Option<Name>, Option<RunStatus>); 4] {
    let (flow, status) = (Some(run.flow.clone()), Some(run.status));
    [(None, None), (flow.clone(), None), (None, status), (flow, status)]
}

impl Records for Maps {
    type Error = Infallible;

    fn damage(error: &Infallible) -> Option<String> {
        match *error {}
    }

    fn damaged(&mut self, _: &RunId) -> Option<Damage> {
        None
    }

    fn bury(&mut self, run: &RunId, step: &StepId, error: &str) -> Result<(), Infallible> {
        let Some(mut job) = self.job(run, step)? else { return Ok(()) };
        job.state = JobState::Dead { error: error.into() };
        self.put_job(&job)
    }

    fn run(&mut self, run: &RunId) -> Result<Option<RunRecord>, Infallible> {
        Ok(self.runs.get(run).and_then(|run| run.record.clone()))
    }

    fn put_run(&mut self, run: &RunRecord) -> Result<(), Infallible> {
        let sequence = self.next();
        let maps = self.maps(&run.run);
        let before = maps.record.replace(run.clone());
        if before.is_none() {
            maps.started = sequence;
        }
        let started = maps.started;
        match &before {
            None => self.list(run, started),
            Some(before) if before.status != run.status => {
                self.unlist(before, started);
                self.list(run, started);
            }
            Some(_) => {}
        }
        if let (None, Some(ended_ms)) = (before.and_then(|before| before.ended_ms), run.ended_ms) {
            self.ended(run.status).insert((ended_ms, run.run.clone()));
        }
        Ok(())
    }

    fn entry(&mut self, run: &RunId, n: u64) -> Result<Option<Entry>, Infallible> {
        let at = (n as usize).checked_sub(1);
        Ok(at.and_then(|at| self.runs.get(run)?.entries.get(at)).cloned())
    }

    fn append(&mut self, run: &RunId, entry: Entry) -> Result<(), Infallible> {
        self.maps(run).entries.push(entry);
        self.news.runs.insert(run.clone());
        Ok(())
    }

    fn job(&mut self, run: &RunId, step: &StepId) -> Result<Option<JobRecord>, Infallible> {
        Ok(self.runs.get(run).and_then(|run| run.jobs.get(step)).map(|job| job.record.clone()))
    }

    fn put_job(&mut self, job: &JobRecord) -> Result<(), Infallible> {
        let place = self.next();
        let known = self.maps(&job.run).jobs.insert(job.step.clone(), Job { record: job.clone(), place });
        if let Some(known) = known {
            self.leave(&known.record, known.place);
        }
        self.enter(job, place);
        Ok(())
    }

    fn remove_job(&mut self, job: &JobRecord) -> Result<(), Infallible> {
        if let Some(known) = self.runs.get_mut(&job.run).and_then(|run| run.jobs.remove(&job.step)) {
            self.leave(&known.record, known.place);
        }
        Ok(())
    }

    fn drop_jobs(&mut self, run: &RunId, max: usize) -> Result<(), Infallible> {
        self.drop_some(run, max);
        Ok(())
    }

    fn queued(&mut self, queue: &QueueName, max: u32) -> Result<Vec<(RunId, StepId)>, Infallible> {
        let queue = self.queues.get(queue).filter(|queue| !queue.counts.paused);
        Ok(queue.map(|q| q.queued.values().take(max as usize).cloned().collect()).unwrap_or_default())
    }

    fn gathers(&mut self, run: &RunId) -> Result<Vec<GatherRecord>, Infallible> {
        Ok(self.runs.get(run).map(|run| run.gathers.clone()).unwrap_or_default())
    }

    fn put_gather(&mut self, run: &RunId, gather: &GatherRecord) -> Result<(), Infallible> {
        let gathers = &mut self.maps(run).gathers;
        if let Some(known) =
            gathers.iter_mut().find(|known| known.gather.spec.worker == gather.gather.spec.worker)
        {
            *known = gather.clone();
        } else {
            let at = gathers.partition_point(|known| known.gather.rank <= gather.gather.rank);
            gathers.insert(at, gather.clone());
        }
        Ok(())
    }

    fn push_gathered(&mut self, run: &RunId, worker: &Name, id: EntryId) -> Result<(), Infallible> {
        self.maps(run).gathered.entry(worker.clone()).or_default().push(id);
        Ok(())
    }

    fn move_gathered(&mut self, run: &RunId, from: &Name, to: &Name) -> Result<(), Infallible> {
        let gathered = &mut self.maps(run).gathered;
        let moved = gathered.remove(from).unwrap_or_default();
        let list = gathered.entry(to.clone()).or_default();
        list.extend(moved);
        list.sort_unstable();
        list.dedup();
        Ok(())
    }

    fn take_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
    ) -> Result<Option<Input>, Infallible> {
        let joins = &mut self.maps(run).joins;
        let key = (worker.clone(), side, by.to_owned());
        let taken = joins.get_mut(&key).and_then(VecDeque::pop_front);
        if joins.get(&key).is_some_and(VecDeque::is_empty) {
            joins.remove(&key);
        }
        Ok(taken)
    }

    fn has_arrival(&mut self, run: &RunId, worker: &Name, side: u32, by: &str) -> Result<bool, Infallible> {
        Ok(self.maps(run).joins.contains_key(&(worker.clone(), side, by.to_owned())))
    }

    fn has_arrivals(&mut self, run: &RunId, worker: &Name) -> Result<bool, Infallible> {
        Ok(self.maps(run).joins.keys().any(|(joining, ..)| joining == worker))
    }

    fn put_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
        input: &Input,
    ) -> Result<(), Infallible> {
        let key = (worker.clone(), side, by.to_owned());
        let waiting = self.maps(run).joins.entry(key).or_default();
        // An event that has waited under another name of the join may be older.
        let place = waiting.partition_point(|before| before.id < input.id);
        waiting.insert(place, input.clone());
        Ok(())
    }

    fn take_arrivals(&mut self, run: &RunId, worker: &Name) -> Result<Vec<(u32, String, Input)>, Infallible> {
        let joins = &mut self.maps(run).joins;
        let mut taken = Vec::new();
        for ((_, side, by), inputs) in joins.extract_if(.., |(joining, ..), _| joining == worker) {
            taken.extend(inputs.into_iter().map(|input| (side, by.clone(), input)));
        }
        taken.sort_by_key(|(.., input)| input.id);
        Ok(taken)
    }

    fn unpaired(&mut self, run: &RunId, max: usize) -> Result<Vec<(Name, EntryId)>, Infallible> {
        let joins = &self.maps(run).joins;
        let mut unpaired: Vec<_> = joins
            .iter()
            .flat_map(|((worker, ..), inputs)| inputs.iter().map(move |input| (worker.clone(), input.id)))
            .collect();
        unpaired.sort();
        unpaired.truncate(max);
        Ok(unpaired)
    }

    fn lane(&mut self, instance: &InstanceId) -> Result<Option<LaneRecord>, Infallible> {
        Ok(self.lanes.get(instance).cloned())
    }

    fn put_lane(&mut self, instance: &InstanceId, lane: &LaneRecord) -> Result<(), Infallible> {
        self.lanes.insert(instance.clone(), lane.clone());
        Ok(())
    }
}
