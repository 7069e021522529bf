//! The turn: one call of one function in each partition.

use std::sync::Arc;

use nq_core::entry::data::{EntryData, StepStarted};
use nq_core::id::{EntryId, InstanceId};
use nq_core::ledger::{LaneError, unreadable};
use nq_core::limits;
use nq_core::store::{Answer, ErrorKind, Lease, RenewAnswer, StoreError, TurnReply};
use nq_core::transaction::{Outcome, Transaction, Turn};

use super::RedisStore;
use super::errors::garbled;
use super::lanes::{Lane, Sending, silent};
use super::lease::{Unreadable, lease};
use super::library::Call;
use super::options::Topology;
use super::partition::Partition;
use super::reply::Reply;
use super::writes::{answer, by_run, encode_writes};

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
        for (_, lease) in &leases {
            self.hints.run(&lease.run, false);
        }
        lanes.iter_mut().for_each(|lane| lane.told(&turn.writes));
        let leases = in_order(turn, leases);
        Ok(TurnReply { answers, renewed, leases, ..TurnReply::default() })
    }

    /// Takes a turn where there is one partition.
    async fn take_whole(&self, partition: &Partition, turn: &Turn) -> Result<TurnReply, StoreError> {
        let share = self.shares(turn).remove(0);
        let writes: Vec<_> = turn.writes.iter().collect();
        let sending = self.share_call(partition, turn, &share, &writes, Part::Whole, String::new());
        let reply = self.settled(partition, turn, sending.send().await?, Part::Whole, &writes).await?;
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
            leases: in_order(turn, reply.leases),
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
                    let brought: Vec<_> = writes.iter().collect();
                    let settled = self.settled(partition, turn, answer, part, &brought).await?;
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
                    let reply = self.settled(partition, turn, reply, Part::First, &writes).await?;
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
                let leases = self.settled(partition, turn, reply, Part::Second, &[]).await?.leases;
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
        call.arg(share.wants.len());
        for (want, max) in turn.wants.iter().zip(&share.wants) {
            call.arg(want.queue.as_str()).arg(*max);
        }
        encode_writes(&mut call, writes);
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
        writes: &[&Transaction],
    ) -> Result<Shared, StoreError> {
        let shared = self.decode(turn, reply, part, writes)?;
        for job in &shared.unreadable {
            condemn(partition, job).await?;
        }
        Ok(shared)
    }

    fn decode(
        &self,
        turn: &Turn,
        reply: redis::Value,
        part: Part,
        writes: &[&Transaction],
    ) -> Result<Shared, StoreError> {
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
        // The server was given the writes, and answers them, run by run.
        let order = by_run(writes);
        let sent: Vec<_> = order.iter().map(|at| writes[*at]).collect();
        let texts = reply.text()?;
        let texts = texts.split('\n').filter(|text| !text.is_empty());
        let mut answers: Vec<_> = order.iter().copied().zip(texts).collect();
        answers.sort_unstable_by_key(|(at, _)| *at);
        let answers = answers.into_iter().map(|(_, text)| answer(text)).collect::<Result<_, _>>()?;
        let renewed = reply.text()?.chars().map(renew_answer).collect();
        let mut list = reply.list()?;
        let (mut leases, mut unreadable) = (Vec::new(), Vec::new());
        while !list.is_empty() {
            match lease(&mut list, &sent)? {
                Ok((mut ticket, lease)) => {
                    // What a write has made and needed no ticket came with that write.
                    if let (0, Some(at)) = (ticket.ms, (ticket.n as usize).checked_sub(1)) {
                        ticket.n = order.get(at).map_or(0, |at| *at as u64 + 1);
                    }
                    leases.push((ticket, lease));
                }
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

/// The data of `flow.step.started`.
pub(super) fn started_data(instance: &InstanceId) -> String {
    StepStarted { instance: instance.clone() }.into_json().to_string()
}

fn renew_answer(letter: char) -> RenewAnswer {
    match letter {
        'R' => RenewAnswer::Renewed,
        'E' => RenewAnswer::RunEnded,
        _ => RenewAnswer::LeaseLost,
    }
}

/// Leases in the order of the wants and, within a queue, as the jobs came to it.
fn in_order(turn: &Turn, mut leases: Vec<(EntryId, Lease)>) -> Vec<Lease> {
    let place = |lease: &Lease| turn.wants.iter().position(|want| want.queue == lease.queue);
    leases.sort_by_key(|(ticket, lease)| (place(lease), ticket.ms, ticket.n));
    leases.into_iter().map(|(_, lease)| lease).collect()
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
