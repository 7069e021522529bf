//! The turn: one call of one function in each partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use nq_core::entry::data::{EntryData, StepStarted};
use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, InstanceId};
use nq_core::ledger::{LaneError, arrived, unreadable};
use nq_core::limits;
use nq_core::status::RunStatus;
use nq_core::store::{Answer, ErrorKind, Lease, RenewAnswer, StoreError, TurnReply};
use nq_core::transaction::{GatherSpec, Outcome, Transaction, Turn};

use super::RedisStore;
use super::codec::spec_text;
use super::errors::garbled;
use super::keys::{unword, word};
use super::lanes::{Lane, Sending, silent};
use super::library::Call;
use super::options::Topology;
use super::partition::Partition;
use super::reply::{Reply, data_of, lossy};

const OP: &str = "turn";

/// The part of a turn that one partition takes: indexes into those of the whole turn, and how many jobs of
/// each wanted queue.
#[derive(Clone, Debug, Default)]
struct Share {
    renewals: Vec<usize>,
    writes: Vec<usize>,
    wants: Vec<u32>,
}

/// Which call of a turn it is: the function is told by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// There is one partition, and this is all.
    Whole = 0,
    /// All partitions take it; they only say what there is to lease.
    First = 1,
    /// This leases where the oldest jobs are.
    Second = 2,
}

/// What a partition answers.
struct Shared {
    /// The answer to each write, and whether its run has ended by it.
    answers: Vec<(Answer, bool)>,
    renewed: Vec<RenewAnswer>,
    /// The leases, each with the ticket that it came by.
    leases: Vec<(EntryId, Lease)>,
    /// The leases that cannot be read.
    unreadable: Vec<Unreadable>,
    /// For each wanted queue how many tickets there are, and the first of them.
    ready: Vec<(u64, Vec<EntryId>)>,
}

/// A leased job that cannot be read: what names it, as it came, and what is wrong with it.
struct Unreadable {
    run: String,
    step: String,
    fence: String,
    what: String,
}

/// What came of the first part of a turn in one partition.
#[derive(Default)]
struct Taken {
    /// Which writes were answered, how, and whether their runs have ended by it.
    answers: Vec<(usize, Answer, bool)>,
    renewed: Vec<RenewAnswer>,
    leases: Vec<(EntryId, Lease)>,
    ready: Vec<(u64, Vec<EntryId>)>,
    /// Why nothing else was.
    away: Option<StoreError>,
}

impl RedisStore {
    pub(super) async fn take_turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        if let [partition] = &self.partitions[..] {
            return self.take_whole(partition, turn).await;
        }
        // A turn of two parts is not to be torn by itself, sent again meanwhile.
        let mut turning = self.turning.lock().await;
        let lanes = turning.of(&turn.instance, self.partitions.len());
        let shares = self.shares(turn);
        let calls = self.partitions.iter().zip(&shares).zip(lanes.iter_mut());
        let calls = calls.map(|((partition, share), lane)| self.take_first(partition, turn, share, lane));
        let firsts = futures_util::future::join_all(calls).await;
        let firsts: Vec<Taken> = firsts.into_iter().collect::<Result<_, _>>()?;
        // One server is there or not; of several, those that are there go on.
        let away: Vec<_> = firsts.iter().filter_map(|first| first.away.clone()).collect();
        if let Some(error) = away.first()
            && (!self.goes_apart() || away.len() == firsts.len())
        {
            return Err(error.clone());
        }

        let mut answers = vec![Answer::Later; turn.writes.len()];
        let mut renewed = vec![RenewAnswer::Later; turn.renewals.len()];
        let (mut leases, mut ready) = (Vec::new(), Vec::new());
        for (share, first) in shares.iter().zip(firsts) {
            for (at, answer, ended) in first.answers {
                self.hints.run(&turn.writes[at].run, ended);
                answers[at] = answer;
            }
            share.renewals.iter().zip(first.renewed).for_each(|(at, answer)| renewed[*at] = answer);
            leases.extend(first.leases);
            ready.push(first.ready);
        }
        let shares = second_shares(turn, &leases, &ready);
        let calls = self.partitions.iter().zip(&shares).zip(lanes.iter_mut());
        let calls = calls.filter(|((_, share), _)| !share.wants.is_empty());
        let calls = calls.map(|((partition, share), lane)| self.take_second(partition, turn, share, lane));
        for second in futures_util::future::join_all(calls).await {
            leases.extend(second?);
        }
        let place = |lease: &Lease| turn.wants.iter().position(|want| want.queue == lease.queue);
        leases.sort_by_key(|(ticket, lease)| (place(lease), ticket.ms, ticket.n));
        for (_, lease) in &leases {
            self.hints.run(&lease.run, false);
        }
        lanes.iter_mut().for_each(|lane| lane.told(&turn.writes));
        let leases = leases.into_iter().map(|(_, lease)| lease).collect();
        Ok(TurnReply { answers, renewed, leases, ..TurnReply::default() })
    }

    /// Takes a turn where there is one partition.
    async fn take_whole(&self, partition: &Partition, turn: &Turn) -> Result<TurnReply, StoreError> {
        let share = self.shares(turn).remove(0);
        let writes: Vec<_> = turn.writes.iter().collect();
        let sending = self.share_call(partition, turn, &share, &writes, Part::Whole, String::new());
        let reply = self.settled(partition, turn, sending.send().await?, Part::Whole).await?;
        if reply.answers.len() != turn.writes.len() || reply.renewed.len() != turn.renewals.len() {
            return Err(garbled(OP));
        }
        for (write, (_, ended)) in turn.writes.iter().zip(&reply.answers) {
            self.hints.run(&write.run, *ended);
        }
        for (_, lease) in &reply.leases {
            self.hints.run(&lease.run, false);
        }
        Ok(TurnReply {
            answers: reply.answers.into_iter().map(|(answer, _)| answer).collect(),
            renewed: reply.renewed,
            leases: reply.leases.into_iter().map(|(_, lease)| lease).collect(),
            ..TurnReply::default()
        })
    }

    /// Takes the first part of a turn in one partition: what an earlier turn has left there comes first.
    async fn take_first(
        &self,
        partition: &Partition,
        turn: &Turn,
        share: &Share,
        lane: &mut Lane,
    ) -> Result<Taken, StoreError> {
        let patient = !self.goes_apart();
        let mut taken = Taken::default();
        let mut last = lane.take(turn.number);
        let mut reply = None;
        if let Some(number) = lane.pending_number() {
            match lane.settle(patient).await {
                Some(Err(error)) if !error.is_retryable() => return Err(error),
                Some(Err(error)) => taken.away = Some(error),
                None => taken.away = Some(silent()),
                Some(Ok((answer, writes))) => {
                    // What is paused was asked for another turn, as for a second part.
                    let part = if number == turn.number { Part::First } else { Part::Second };
                    let settled = self.settled(partition, turn, answer, part).await?;
                    lane.answered(number, &settled.leases);
                    last = lane.take(turn.number);
                    if number == turn.number {
                        reply = Some(settled);
                    } else {
                        if !settled.leases.is_empty() {
                            // Their turn is over.
                            lane.expects_leases();
                        }
                        lane.keep(writes, settled.answers);
                    }
                }
            }
        }
        // Those that an earlier turn has made are not made again.
        let mut sent = Vec::new();
        for at in &share.writes {
            match lane.late(&turn.writes[*at]) {
                Some((answer, ended)) => taken.answers.push((*at, answer, ended)),
                None => sent.push(*at),
            }
        }
        if taken.away.is_some() {
            return Ok(taken);
        }
        let reply = if let Some(reply) = reply {
            reply
        } else {
            let writes: Vec<_> = sent.iter().map(|at| &turn.writes[*at]).collect();
            let since = format!(" {last}{}", if lane.is_unheard() { " u" } else { "" });
            let sending = self.share_call(partition, turn, share, &writes, Part::First, since);
            match sending.try_send(patient).await {
                Ok(reply) => {
                    let reply = self.settled(partition, turn, reply, Part::First).await?;
                    lane.answered(turn.number, &reply.leases);
                    reply
                }
                Err(Some(error)) if !error.is_retryable() => return Err(error),
                Err(error) => {
                    let writes = writes.into_iter().cloned().collect();
                    lane.leave_pending(turn.number, writes, sending);
                    taken.away = Some(error.unwrap_or_else(silent));
                    return Ok(taken);
                }
            }
        };
        if reply.answers.len() != sent.len() || reply.renewed.len() != share.renewals.len() {
            return Err(garbled(OP));
        }
        let answers = sent.into_iter().zip(reply.answers);
        taken.answers.extend(answers.map(|(at, (answer, ended))| (at, answer, ended)));
        (taken.renewed, taken.leases, taken.ready) = (reply.renewed, reply.leases, reply.ready);
        Ok(taken)
    }

    /// Takes the second part of a turn in one partition. What it leases and nobody hears of goes back with the next
    /// turn.
    async fn take_second(
        &self,
        partition: &Partition,
        turn: &Turn,
        share: &Share,
        lane: &mut Lane,
    ) -> Result<Vec<(EntryId, Lease)>, StoreError> {
        let sending = self.share_call(partition, turn, share, &[], Part::Second, String::new());
        lane.expects_leases();
        match sending.try_send(!self.goes_apart()).await {
            Ok(reply) => {
                let leases = self.settled(partition, turn, reply, Part::Second).await?.leases;
                lane.heard();
                Ok(leases)
            }
            Err(Some(error)) if !self.goes_apart() || !error.is_retryable() => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Whether the partitions are on servers of their own, of which some may be away.
    pub(super) fn goes_apart(&self) -> bool {
        self.options.topology == Topology::Cluster
    }

    /// Deals a turn out to the partitions.
    fn shares(&self, turn: &Turn) -> Vec<Share> {
        let wants: Vec<_> = turn.wants.iter().map(|want| want.max).collect();
        let mut shares = vec![Share { wants, ..Share::default() }; self.partitions.len()];
        for (at, renewal) in turn.renewals.iter().enumerate() {
            shares[self.partition_index(&renewal.run)].renewals.push(at);
        }
        for (at, write) in turn.writes.iter().enumerate() {
            shares[self.partition_index(&write.run)].writes.push(at);
        }
        shares
    }

    /// The call of a part of a turn: these writes, and what else its share names. `since` says what the partition has
    /// missed.
    fn share_call(
        &self,
        partition: &Partition,
        turn: &Turn,
        share: &Share,
        writes: &[&Transaction],
        part: Part,
        since: String,
    ) -> Sending {
        // An effect is what an attempt records while it goes on: what it did outside must not be forgotten.
        let lasting = writes.iter().any(|write| write.outcome == Outcome::Continue);
        let mut call = Call::new(OP, partition);
        call.arg(turn.instance.as_str())
            .arg(turn.number)
            .arg(turn.lease_ms.min(limits::MAX_TIME_MS))
            .arg(started_data(&turn.instance))
            .arg(self.touch(lasting))
            .arg(format!("{}{since}", part as u8))
            .arg(share.renewals.len());
        for renewal in share.renewals.iter().map(|at| &turn.renewals[*at]) {
            call.arg(renewal.run.as_str()).arg(renewal.step.to_string()).arg(renewal.fence);
        }
        call.arg(writes.len());
        for write in writes {
            encode(&mut call, write);
        }
        for (want, max) in turn.wants.iter().zip(&share.wants) {
            call.arg(want.queue.as_str()).arg(*max);
        }
        let lasting = lasting.then(|| self.lasts());
        Sending { call: Arc::new(call), link: Arc::clone(&partition.turns), lasting }
    }

    /// What a part of a turn was answered, once the jobs that it leased and that cannot be read are dead letters.
    async fn settled(
        &self,
        partition: &Partition,
        turn: &Turn,
        reply: redis::Value,
        part: Part,
    ) -> Result<Shared, StoreError> {
        let shared = self.decode(turn, reply, part)?;
        for job in &shared.unreadable {
            condemn(partition, job).await?;
        }
        Ok(shared)
    }

    fn decode(&self, turn: &Turn, reply: redis::Value, part: Part) -> Result<Shared, StoreError> {
        let mut reply = Reply::new(OP, reply)?;
        if reply.text()? == "lane" {
            let (number, last) = (turn.number, reply.number()?);
            let error = if number <= last {
                LaneError::Overtaken { number, last }
            } else {
                LaneError::Gap { number, last }
            };
            return Err(StoreError::new(ErrorKind::Lane, OP, error.to_string()).with_key(&turn.instance));
        }
        let answers = reply.list()?.texts()?.iter().map(|text| answer(text)).collect::<Result<_, _>>()?;
        let renewed = reply.list()?.texts()?.iter().map(|text| renew_answer(text)).collect();
        let count = reply.number()?;
        let mut list = reply.list()?;
        let (mut leases, mut unreadable) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match lease(&mut list)? {
                Ok(lease) => leases.push(lease),
                Err(job) => unreadable.push(job),
            }
        }
        let paused = reply.list()?.texts()?;
        if part != Part::Second {
            self.waiting.paused(turn.wants.iter().map(|want| &want.queue), &paused);
        }
        let mut list = reply.list()?;
        let mut ready = Vec::new();
        while !list.is_empty() {
            let mut queue = list.list()?;
            let count = queue.number()?;
            let mut first = Vec::new();
            while !queue.is_empty() {
                first.push(queue.parse()?);
            }
            ready.push((count, first));
        }
        reply.log_failures()?;
        Ok(Shared { answers, renewed, leases, unreadable, ready })
    }
}

/// Chooses from which partitions to lease: first come, first served as far as the first tickets tell, the
/// rest from wherever there is more. No wants at all for a partition that is not asked.
fn second_shares(turn: &Turn, leases: &[(EntryId, Lease)], ready: &[Vec<(u64, Vec<EntryId>)>]) -> Vec<Share> {
    let mut shares = vec![Share { wants: vec![0; turn.wants.len()], ..Share::default() }; ready.len()];
    for (at, want) in turn.wants.iter().enumerate() {
        // A turn that is sent again has its leases already.
        let got = leases.iter().filter(|(_, lease)| lease.queue == want.queue).count();
        let mut left = want.max.saturating_sub(got as u32);
        let queues: Vec<_> = ready.iter().map(|queues| queues.get(at)).collect();
        let first = queues.iter().enumerate().flat_map(|(partition, queue)| {
            queue.iter().flat_map(move |(_, ids)| ids.iter().map(move |id| (id.ms, id.n, partition)))
        });
        let mut first: Vec<_> = first.collect();
        first.sort_unstable();
        for (.., partition) in first.into_iter().take(left as usize) {
            shares[partition].wants[at] += 1;
            left -= 1;
        }
        for (share, queue) in shares.iter_mut().zip(queues) {
            let more = queue.map_or(0, |(count, _)| count.saturating_sub(u64::from(share.wants[at])));
            let taken = left.min(more.min(u64::from(u32::MAX)) as u32);
            share.wants[at] += taken;
            left -= taken;
        }
    }
    for share in &mut shares {
        if share.wants.iter().all(|max| *max == 0) {
            share.wants.clear();
        }
    }
    shares
}

/// Appends a write to the arguments: how many arguments it has, then these.
fn encode(call: &mut Call, tx: &Transaction) {
    let too_large = tx.entries.len() > limits::MAX_COMMIT_ENTRIES;
    let (entries, gathers, gathered, jobs, joins) = if too_large {
        Default::default()
    } else {
        (&tx.entries[..], &tx.gathers[..], &tx.gathered[..], &tx.jobs[..], &tx.joins[..])
    };
    let former = if too_large { &[] } else { &tx.former[..] };
    // Many jobs follow later: one text each, and what they hold in sum.
    let paged = jobs.len() > limits::MAX_TURN_WRITES;
    let mut holds: BTreeMap<&str, u64> = BTreeMap::new();
    if paged {
        jobs.iter()
            .flat_map(|job| &job.spec.holds)
            .for_each(|gather| *holds.entry(gather.as_str()).or_default() += 1);
    }
    let jobs_length = if paged { 1 + 2 * holds.len() + jobs.len() } else { 4 * jobs.len() };
    let length = 13
        + 3 * former.len()
        + 2 * entries.len()
        + 3 * gathers.len()
        + 2 * gathered.len()
        + jobs_length
        + 7 * joins.len();
    call.arg(length)
        .arg(tx.run.as_str())
        .arg(tx.step.to_string())
        .arg(tx.fence)
        .arg(tx.attempt)
        .arg(tx.recorded);
    if too_large {
        call.arg("T").arg(format!("{} entries in one commit", limits::MAX_COMMIT_ENTRIES));
    } else {
        match &tx.outcome {
            Outcome::Continue => call.arg("C").arg(""),
            Outcome::Complete => call.arg("D").arg(""),
            Outcome::Retry { delay_ms } => call.arg("R").arg((*delay_ms).min(limits::MAX_TIME_MS)),
            Outcome::Postpone { delay_ms } => call.arg("P").arg((*delay_ms).min(limits::MAX_TIME_MS)),
            Outcome::Fail { error } => call.arg("F").arg(error),
            Outcome::Release => call.arg("L").arg(""),
        };
    }
    call.arg(former.len());
    for former in former {
        call.arg(former.worker.as_str()).arg(former.was.worker.as_str()).arg(spec_text(&former.was));
    }
    call.arg(entries.len());
    for entry in entries {
        call.arg(entry.kind.as_str()).arg(entry.data.to_string());
    }
    call.arg(gathers.len());
    encode_gathers(call, gathers);
    call.arg(gathered.len());
    for arrival in gathered {
        call.arg(arrival.worker.as_str()).arg(arrival.entry + 1);
    }
    call.arg(jobs.len());
    if paged {
        call.arg(holds.len());
        for (gather, count) in &holds {
            call.arg(*gather).arg(*count);
        }
        for job in jobs {
            let (worker, spec, key) = (&job.spec.worker, spec_text(&job.spec), word(&job.key));
            call.arg(format!("{worker}\t{spec}\t{} {key}", job.cause + 1));
        }
    }
    for job in jobs.iter().filter(|_| !paged) {
        call.arg(job.spec.worker.as_str()).arg(job.cause + 1).arg(spec_text(&job.spec)).arg(word(&job.key));
    }
    call.arg(joins.len());
    for join in joins {
        call.arg(join.spec.worker.as_str())
            .arg(spec_text(&join.spec))
            .arg(join.sides)
            .arg(join.side)
            .arg(word(&join.by))
            .arg(join.entry + 1)
            .arg(word(&join.key));
    }
}

pub(super) fn encode_gathers(call: &mut Call, gathers: &[GatherSpec]) {
    for gather in gathers {
        call.arg(gather.rank).arg(gather.spec.worker.as_str()).arg(spec_text(&gather.spec));
    }
}

/// An answer as the function writes it, and whether the write has ended its run.
fn answer(text: &str) -> Result<(Answer, bool), StoreError> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let answer = match kind {
        "C" | "D" => Answer::Committed { last: rest.parse().map_err(|_| garbled(OP))? },
        "L" => Answer::LeaseLost,
        "E" => Answer::RunEnded { status: RunStatus::parse(rest).ok_or_else(|| garbled(OP))? },
        "G" => Answer::RunGone,
        "T" => Answer::TooLarge { limit: rest.to_owned() },
        _ => return Err(garbled(OP)),
    };
    Ok((answer, kind == "D"))
}

/// The data of `flow.step.started`.
pub(super) fn started_data(instance: &InstanceId) -> String {
    StepStarted { instance: instance.clone() }.into_json().to_string()
}

fn renew_answer(text: &str) -> RenewAnswer {
    match text {
        "R" => RenewAnswer::Renewed,
        "E" => RenewAnswer::RunEnded,
        _ => RenewAnswer::LeaseLost,
    }
}

/// A job that is leased, and the ticket that it came by. One that cannot be read must not spoil those behind it.
fn lease(reply: &mut Reply) -> Result<Result<(EntryId, Lease), Unreadable>, StoreError> {
    let ticket = reply.parse()?;
    let [run, flow, step, queue, fence] = words(reply)?;
    let [attempt, failures, read, recorded] = words(reply)?;
    let mut inputs = Vec::new();
    for _ in 0..reply.number()? {
        let [id, kind] = words(reply)?;
        inputs.push((id, kind, reply.value()?, lossy(reply.value()?)));
    }
    let decoded = || {
        let mut lease = Lease {
            run: parsed("run", &run)?,
            flow: parsed("flow", &flow)?,
            step: parsed("step", &step)?,
            queue: parsed("queue", &queue)?,
            fence: parsed("fence", &fence)?,
            attempt: parsed("attempt", &attempt)?,
            failures: parsed("count of failures", &failures)?,
            read: parsed("read position", &read)?,
            recorded: parsed("count of operations", &recorded)?,
            inputs: Vec::with_capacity(inputs.len()),
        };
        for (id, kind, data, key) in inputs {
            let id: EntryId = parsed("input", &id)?;
            let data = data_of(id, &kind, data)?;
            let entry = Entry { id, kind: EntryType::parse(&kind), step: None, attempt: None, data };
            lease.inputs.push(arrived(entry, unword(&key)));
        }
        Ok(lease)
    };
    let decoded: Result<Lease, String> = decoded();
    Ok(decoded.map(|lease| (ticket, lease)).map_err(|what| Unreadable { run, step, fence, what }))
}

fn words<const N: usize>(reply: &mut Reply) -> Result<[String; N], StoreError> {
    let mut words = [const { String::new() }; N];
    for word in &mut words {
        *word = lossy(reply.value()?);
    }
    Ok(words)
}

fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("its {what} is damaged: {text:?}"))
}

/// Makes a dead letter of a job that was leased and cannot be read. If this does not arrive, the turn is sent again.
async fn condemn(partition: &Partition, job: &Unreadable) -> Result<(), StoreError> {
    let Unreadable { run, step, fence, what } = job;
    let error = unreadable(run, step, what);
    tracing::error!(error, "a job that cannot be read is a dead letter");
    let mut call = Call::new("condemn", partition);
    call.arg(run).arg(step).arg(fence).arg(error);
    match call.run(&partition.turns).await {
        Err(error) if !error.is_retryable() => {
            // Its lease runs out, and somebody tries again.
            tracing::error!(%error, "a job that cannot be read is left as it is");
            Ok(())
        }
        answer => answer.map(drop),
    }
}
