//! Reads the timeline of a run and makes the jobs, joins and counts again that the store kept beside it.

use std::collections::{BTreeMap, VecDeque};
use std::iter::once;

use super::begin::{Fork, Waiting};
use super::error::ForkError;
use crate::entry::data::{EventEmitted, FlowStarted, StateBatch};
use crate::entry::{Entry, EntryType};
use crate::id::{EntryId, Name, QueueName, RunId, StepId, emit_key, step_key};
use crate::more::More;
use crate::pairing;
use crate::record::{GatherRecord, Input, JobRecord};
use crate::registry::{Flow, FlowStep, Registry};
use crate::status::RunStatus;
use crate::transaction::{GatherSpec, JobSpec};

/// The state of a run after the entries that were read so far.
pub(super) struct Replay<'a> {
    registry: &'a Registry,
    run: &'a RunId,
    /// The flow that the run began with. It may have another name today.
    flow: &'a Name,
    steps: BTreeMap<StepId, Past<'a>>,
    /// The unpaired events of joins, by worker, side and value.
    joins: BTreeMap<(Name, u32, String), VecDeque<Input>>,
    /// What each gather has got.
    lists: BTreeMap<Name, Vec<EntryId>>,
    /// The gathers that have a step anywhere in the timeline, with the position of what caused it.
    fired: BTreeMap<Name, u64>,
    /// The names under which the run had begun a gather a second time, each with the name that both go on under.
    parts: BTreeMap<Name, Name>,
    /// The step whose commit is being read. With it, for each join and gather that this commit names, its name in the run.
    commit: Option<(StepId, BTreeMap<Name, Name>)>,
}

/// A worker of the run, as the program has it today.
#[derive(Clone, Copy)]
struct Place<'a> {
    flow: &'a Flow,
    step: &'a FlowStep,
}

/// A step that something has caused.
struct Past<'a> {
    place: Place<'a>,
    inputs: Vec<Input>,
    /// Its idempotency key.
    key: String,
    /// The position of its first `flow.step.started`.
    first: Option<u64>,
    /// The number of its last attempt; 0 while none has begun.
    attempt: u32,
    /// How many of its operations are in the timeline.
    recorded: u32,
    done: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(registry: &'a Registry, run: &'a RunId, flow: &'a Name) -> Self {
        Self {
            registry,
            run,
            flow,
            steps: BTreeMap::new(),
            joins: BTreeMap::new(),
            lists: BTreeMap::new(),
            fired: BTreeMap::new(),
            parts: BTreeMap::new(),
            commit: None,
        }
    }

    /// Reads the timeline without its end. Returns the job of the entry step.
    pub(super) fn all(&mut self, entries: &[Entry]) -> Result<JobSpec, ForkError> {
        let first = entries.first().filter(|first| first.kind == EntryType::FlowStarted);
        let first = first.ok_or_else(|| self.damaged("it does not begin with `flow.started`"))?;
        if let Some((n, _)) = (1..).zip(entries).find(|(n, entry)| entry.id.n != *n) {
            return Err(self.damaged(format!("entry {n} is missing")));
        }
        for step in entries.iter().filter_map(|entry| entry.step.as_ref()) {
            let known = self.fired.contains_key(step.worker());
            if !known && self.place(step.worker()).is_some_and(Place::gathers) {
                self.fired.insert(step.worker().clone(), step.cause().n);
            }
        }
        for entry in entries {
            self.read(entry, first.id)?;
        }
        for gather in self.lists.keys().cloned().collect::<Vec<_>>() {
            if let Some(place) = self.place(&gather) {
                let today = &place.step.spec.worker;
                self.unite_gathers(place.flow, today, &self.name_in_run(place.flow, today), u64::MAX);
            }
        }
        let caused = |(step, past): &(&StepId, &Past<'_>)| step.cause() == first.id && !past.place.gathers();
        if let Some((step, past)) = self.steps.iter().find(caused) {
            return Ok(self.spec(step.worker(), past.place));
        }
        self.entry_step(first)
    }

    fn read(&mut self, entry: &Entry, first: EntryId) -> Result<(), ForkError> {
        let Some(id) = &entry.step else { return Ok(()) };
        if !self.steps.contains_key(id) {
            self.begin(id, first)?;
        }
        if self.commit.as_ref().is_some_and(|(step, _)| step != id || !goes_on(&entry.kind)) {
            self.commit = None;
        }
        let Some(past) = self.steps.get_mut(id) else { return Ok(()) };
        // If a store could not read a job, its dead letter does not say the attempt.
        let attempt = entry.attempt.unwrap_or_default();
        match &entry.kind {
            EntryType::StepStarted => {
                past.first.get_or_insert(entry.id.n);
                past.attempt = past.attempt.max(attempt).max(1);
            }
            EntryType::StepCompleted => past.done = true,
            EntryType::StepEffect | EntryType::StateSet | EntryType::StateDelete => past.recorded += 1,
            EntryType::StateBatch => {
                let batch = entry.says::<StateBatch>();
                past.recorded += batch.map_or(0, |batch| batch.operations.len()) as u32;
            }
            EntryType::EventEmitted => {
                past.recorded += 1;
                let key = past.key.clone();
                self.emitted(entry, id, &key)?;
            }
            EntryType::StepRetrying
            | EntryType::StepFailed
            | EntryType::StepPaused
            | EntryType::StepResumed
            | EntryType::StepTimedOut => past.attempt = past.attempt.max(attempt).max(1),
            _ => {}
        }
        Ok(())
    }

    /// Begins a step that no event has caused: the step of a gather, or the entry step of the run.
    fn begin(&mut self, id: &StepId, first: EntryId) -> Result<(), ForkError> {
        let place = self.place(id.worker());
        let place = place.ok_or_else(|| self.unknown(id.worker(), "has begun a step"))?;
        if place.gathers() {
            self.cause(id.clone(), place, Vec::new());
        } else if id.cause() == first {
            self.cause(id.clone(), place, vec![Input { id: first, key: String::new() }]);
        } else {
            return Err(self.wiring(format!(
                "step `{id}` has begun, and nothing leads to it any more: the kind of the worker, or the events or the \
                 `by` of its join, are not what they were; put them back, or start a new run"
            )));
        }
        Ok(())
    }

    fn cause(&mut self, id: StepId, place: Place<'a>, inputs: Vec<Input>) {
        let parents: Vec<_> = inputs.iter().map(|input| input.key.as_str()).collect();
        let key = step_key(self.run, id.worker(), &parents);
        let past = Past { place, inputs, key, first: None, attempt: 0, recorded: 0, done: false };
        self.steps.entry(id).or_insert(past);
    }

    /// The entry step of a run in which no step has begun. The timeline does not name it, so the flow of today does.
    fn entry_step(&mut self, first: &Entry) -> Result<JobSpec, ForkError> {
        let event = first.says::<FlowStarted>().map(|started| started.event).unwrap_or_default();
        let takes = |step: &&FlowStep| step.worker.is_entry() && step.worker.input.as_ref() == Some(&event);
        let mut entries: Vec<_> = if let Some(flow) = self.registry.flows.get(self.flow) {
            flow.steps.values().filter(takes).map(|step| step.spec.worker.clone()).collect()
        } else {
            // It has another name today.
            let prefix = format!("{}/", self.flow);
            let queues = self.registry.queues().filter(|(_, step)| takes(step));
            queues.filter_map(|(queue, _)| Name::new(queue.as_str().strip_prefix(&prefix)?).ok()).collect()
        };
        let (Some(worker), true) = (entries.pop(), entries.is_empty()) else {
            return Err(self.wiring(format!(
                "nothing of it has begun, and flow `{}` does not have one entry that takes the event `{event}`: start a \
                 new run",
                self.flow
            )));
        };
        let place = self.place(&worker).ok_or_else(|| self.unknown(&worker, "is its entry"))?;
        let id = StepId::new(worker, first.id);
        let spec = self.spec(id.worker(), place);
        self.cause(id, place, vec![Input { id: first.id, key: String::new() }]);
        Ok(spec)
    }

    /// An event was emitted: it goes where the step that emitted it sent it.
    fn emitted(&mut self, entry: &Entry, step: &StepId, step_key: &str) -> Result<(), ForkError> {
        let EventEmitted { name: event, payload, op, to } =
            entry.says().map_err(|damaged| self.damaged(format!("entry {}: {damaged}", entry.id.n)))?;
        let key = emit_key(step_key, &op);
        // A join may take an event at several sides, and is named once for each.
        let mut sides: BTreeMap<Name, usize> = BTreeMap::new();
        for worker in to {
            let place = self.place(&worker);
            let place = place.ok_or_else(|| self.unknown(&worker, &format!("got the event `{event}`")))?;
            let input = Input { id: entry.id, key: key.clone() };
            if place.gathers() {
                let gather = self.name_in_commit(step, place, &worker, entry.id.n);
                self.lists.entry(gather).or_default().push(entry.id);
            } else if place.step.worker.joins.is_empty() {
                self.cause(StepId::new(worker, entry.id), place, vec![input]);
            } else {
                let nth = sides.entry(worker.clone()).or_default();
                let joined = (0..).zip(&place.step.worker.joins).filter(|(_, joined)| **joined == event);
                let Some((side, _)) = { joined }.nth(*nth) else {
                    return Err(self.wiring(format!(
                        "worker `{worker}` got the event `{event}`, and does not join it any more: put it back among its \
                         `joins`, or start a new run"
                    )));
                };
                *nth += 1;
                let by = place
                    .step
                    .worker
                    .by
                    .as_deref()
                    .map(|field| pairing::value(&payload, field).unwrap_or_else(|| pairing::alone(&key)));
                let join = self.name_in_commit(step, place, &worker, entry.id.n);
                self.arrive(join, place, side, by.unwrap_or_default(), input);
            }
        }
        Ok(())
    }

    /// An event arrives at a join, as in the ledger: the step runs if every other side has a partner.
    fn arrive(&mut self, join: Name, place: Place<'a>, side: u32, by: String, this: Input) {
        let sides = place.step.worker.joins.len() as u32;
        let at = |side: u32| (join.clone(), side, by.clone());
        if (0..sides).any(|other| other != side && !self.joins.contains_key(&at(other))) {
            let waiting = self.joins.entry(at(side)).or_default();
            let place = waiting.partition_point(|before| before.id < this.id);
            waiting.insert(place, this);
            return;
        }
        let mut inputs = Vec::with_capacity(sides as usize);
        for other in 0..sides {
            if other == side {
                inputs.push(this.clone());
                continue;
            }
            let waiting = self.joins.get_mut(&at(other));
            inputs.extend(waiting.and_then(VecDeque::pop_front));
            if self.joins.get(&at(other)).is_some_and(VecDeque::is_empty) {
                self.joins.remove(&at(other));
            }
        }
        // An event that waited under another name of the join may be older than its partner.
        let cause = inputs.iter().map(|input| input.id).max().unwrap_or(this.id);
        self.cause(StepId::new(join, cause), place, inputs);
    }

    /// The name by which the run knows a join or gather that a commit names. It is the same for the whole commit.
    fn name_in_commit(&mut self, step: &StepId, place: Place<'a>, worker: &Name, n: u64) -> Name {
        let known = self.commit.as_ref().and_then(|(_, names)| names.get(worker)).cloned();
        known.unwrap_or_else(|| {
            let name = self.name_in_run(place.flow, worker);
            if place.gathers() {
                self.unite_gathers(place.flow, worker, &name, n);
            } else {
                self.unite_joins(place, worker, &name);
            }
            let (_, names) = self.commit.get_or_insert_with(|| (step.clone(), BTreeMap::new()));
            names.insert(worker.clone(), name.clone());
            name
        })
    }

    /// The name by which the run knows a join or gather, as in the ledger: a former one if it has been begun under that.
    fn name_in_run(&self, flow: &Flow, worker: &Name) -> Name {
        if let Some(gather) = self.gathering(worker) {
            return gather;
        }
        let known = |name: Name| self.gathering(&name).or_else(|| self.waits(&name).then_some(name));
        formers(flow, worker).find_map(known).unwrap_or_else(|| worker.clone())
    }

    /// The gather that this name stands for, if it has been begun.
    fn gathering(&self, worker: &Name) -> Option<Name> {
        let mut worker = worker;
        while let Some(whole) = self.parts.get(worker) {
            worker = whole;
        }
        let begun = self.lists.contains_key(worker) || self.fired.contains_key(worker);
        begun.then(|| worker.clone())
    }

    /// Whether anything waits at the join of this name.
    fn waits(&self, join: &Name) -> bool {
        let mut waiting = self.joins.range((join.clone(), 0, String::new())..);
        waiting.next().is_some_and(|((worker, ..), _)| worker == join)
    }

    /// A gather that the run has begun under several names becomes one, unless it has fired by this position.
    fn unite_gathers(&mut self, flow: &Flow, worker: &Name, whole: &Name, n: u64) {
        let fired = |replay: &Self, name: &Name| replay.fired.get(name).is_some_and(|cause| *cause < n);
        for name in once(worker.clone()).chain(formers(flow, worker)) {
            let Some(part) = self.gathering(&name).filter(|part| part != whole) else { continue };
            if fired(self, whole) || fired(self, &part) {
                continue;
            }
            let moved = self.lists.remove(&part).unwrap_or_default();
            let list = self.lists.entry(whole.clone()).or_default();
            list.extend(moved);
            list.sort_unstable();
            list.dedup();
            self.parts.insert(part, whole.clone());
        }
    }

    /// What waits at a join under its other names arrives under the one that the run goes on with.
    fn unite_joins(&mut self, place: Place<'a>, worker: &Name, join: &Name) {
        if worker == join {
            return;
        }
        let others = formers(place.flow, worker).chain(once(worker.clone())).filter(|name| name != join);
        for other in others.collect::<Vec<_>>() {
            let keys = self.joins.range((other.clone(), 0, String::new())..).map(|(key, _)| key);
            let keys: Vec<_> = keys.take_while(|(name, ..)| *name == other).cloned().collect();
            let mut waiting = Vec::new();
            for key in keys {
                let inputs = self.joins.remove(&key).unwrap_or_default();
                waiting.extend(inputs.into_iter().map(|input| (input, key.1, key.2.clone())));
            }
            waiting.sort_by_key(|(input, side, _)| (input.id, *side));
            for (input, side, by) in waiting {
                self.arrive(join.clone(), place, side, by, input);
            }
        }
    }

    fn place(&self, worker: &Name) -> Option<Place<'a>> {
        let queue = QueueName::of(self.flow.as_str(), worker.as_str());
        self.registry.step(&queue).map(|(flow, step)| Place { flow, step })
    }

    /// The job of a worker under the name that the run knows it by.
    fn spec(&self, worker: &Name, place: Place<'_>) -> JobSpec {
        let queue = QueueName::of(self.flow.as_str(), worker.as_str());
        let holds = &place.step.spec.holds;
        let holds = holds.iter().map(|gather| self.name_in_run(place.flow, gather)).collect();
        JobSpec { worker: worker.clone(), queue, holds, ..place.step.spec.clone() }
    }

    fn damaged(&self, what: impl Into<String>) -> ForkError {
        ForkError::Damaged { run: self.run.clone(), what: what.into() }
    }

    fn wiring(&self, what: String) -> ForkError {
        ForkError::Wiring { run: self.run.clone(), what }
    }

    fn unknown(&self, worker: &Name, what: &str) -> ForkError {
        self.wiring(format!(
            "worker `{worker}` {what}, and flow `{}` has no such worker: write `was = [\"{worker}\"]` on the one that took \
             its place, put it back, or start a new run",
            self.flow
        ))
    }
}

impl Replay<'_> {
    /// What is left to do, for a run of this id that goes on from one that ended like this.
    pub(super) fn fork(&self, run: &RunId, status: RunStatus) -> Fork {
        let mut again: Vec<_> = self.steps.iter().filter(|(_, past)| !past.done).collect();
        again.sort_by_key(|(step, _)| (step.cause(), step.worker()));
        let jobs: Vec<_> = again.into_iter().map(|(step, past)| self.job(run, step, past)).collect();

        let mut gathers: BTreeMap<Name, GatherSpec> = BTreeMap::new();
        for name in self.fired.keys().chain(self.lists.keys()).chain(self.parts.keys()) {
            if let Some(place) = self.place(name) {
                self.declare(name.clone(), place, &mut gathers);
            }
        }
        // A gather without events still counts the steps that hold it. If the run has completed, the gather has fired,
        // unless only the program of today has it.
        let held = self.steps.iter().filter(|(_, past)| !past.done || status != RunStatus::Completed);
        let holders: BTreeMap<_, _> = held.map(|(step, past)| (step.worker(), past.place)).collect();
        for place in holders.into_values() {
            for gather in &place.step.spec.holds {
                if let Some(step) = place.flow.steps.get(gather) {
                    self.declare(self.name_in_run(place.flow, gather), Place { step, ..place }, &mut gathers);
                }
            }
        }
        let mut gathers: Vec<_> = gathers
            .into_iter()
            .map(|(name, gather)| {
                let count = jobs.iter().filter(|job| job.spec.holds.contains(&name)).count() as u64;
                let (fired, more) = (self.fired.contains_key(&name), More::default());
                let mut known = GatherRecord { gather, count, fired, late: false, more };
                if let Some(whole) = self.parts.get(&name) {
                    known.fired = true;
                    known.set_part_of(whole);
                }
                known
            })
            .collect();
        gathers.sort_by_key(|known| known.gather.rank);

        let arrivals = self.joins.iter().flat_map(|((worker, side, by), inputs)| {
            let waiting = |input: &Input| Waiting {
                worker: worker.clone(),
                side: *side,
                by: by.clone(),
                input: input.clone(),
            };
            inputs.iter().map(waiting)
        });
        let mut arrivals: Vec<_> = arrivals.collect();
        arrivals.sort_by_key(|waiting| waiting.input.id);
        let lists = self.lists.iter().map(|(name, ids)| (name.clone(), ids.clone())).collect();
        Fork { entries: Vec::new(), jobs, arrivals, gathers, lists }
    }

    fn job(&self, run: &RunId, step: &StepId, past: &Past<'_>) -> JobRecord {
        let mut spec = self.spec(step.worker(), past.place);
        // A gather that has fired is not held again, as after a redrive: it fires once.
        spec.holds.retain(|gather| !self.fired.contains_key(gather));
        JobRecord {
            step: step.clone(),
            earlier: past.attempt,
            read: past.first.map(|first| first - 1),
            recorded: past.recorded,
            ..JobRecord::queued(run.clone(), spec, step.cause(), past.inputs.clone())
        }
    }

    /// Adds a gather to the gathers of the run, under this name.
    fn declare(&self, name: Name, place: Place<'_>, gathers: &mut BTreeMap<Name, GatherSpec>) {
        let today = place.flow.gathers(|gather| *gather == place.step.spec.worker).pop();
        if let Some(GatherSpec { rank, .. }) = today {
            let spec = self.spec(&name, place);
            gathers.entry(name).or_insert(GatherSpec { spec, rank });
        }
    }
}

/// The former names of a join or gather.
fn formers(flow: &Flow, worker: &Name) -> impl Iterator<Item = Name> {
    flow.former(|name| name == worker).into_iter().map(|former| former.was.worker)
}

impl Place<'_> {
    fn gathers(self) -> bool {
        !self.step.worker.gathers.is_empty()
    }
}

/// Whether an entry of a step may stand before others of the same commit.
fn goes_on(kind: &EntryType) -> bool {
    *kind == EntryType::EventEmitted || kind.is_state() || kind.is_log()
}
