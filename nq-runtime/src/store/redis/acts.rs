//! What is done to runs from outside: starts, acts, log lines; and what must last before it is acknowledged.

use nq_core::id::{InstanceId, QueueName, RunId, StepId};
use nq_core::limits::GIVEN_MS;
use nq_core::store::{Acted, ErrorKind, Started, StoreError};
use nq_core::transaction::{Act, LogLine, Start};
use redis::Value;
use tokio::time::timeout;

use super::RedisStore;
use super::codec::{self, entry_text, spec_text};
use super::errors::garbled;
use super::lanes::{PATIENCE, silent};
use super::lasting::Lasting;
use super::library::Call;
use super::link::Link;
use super::options::{Durability, Options};
use super::reply::{Reply, bytes, text};
use super::writes::encode_gathers;

impl RedisStore {
    pub(super) async fn begin(&self, start: &Start) -> Result<Started, StoreError> {
        const OP: &str = "start";
        if let Some(fork) = &start.fork {
            return self.begin_fork(start, fork).await;
        }
        let partition = self.partition(&start.run);
        if self.goes_apart()
            && let Err(error) = partition.calls.reach().await
        {
            // Another run may begin where another node is.
            return Err(partition.calls.error(OP, error).with_key(&start.run).with_unsent());
        }
        let mut call = Call::new(OP, partition);
        call.arg(start.run.as_str())
            .arg(start.flow.as_str())
            .arg(entry_text(&start.started.kind, None, None, &start.started.data))
            .arg(start.job.worker.as_str())
            .arg(spec_text(&start.job))
            .arg(self.touch(true))
            .arg(if self.takes_offers() { GIVEN_MS } else { 0 });
        encode_gathers(&mut call, &start.gathers);
        let reply =
            self.lasting(&call, &partition.calls, true).await.map_err(|error| error.with_key(&start.run))?;
        let mut reply = Reply::new(OP, reply)?;
        if reply.text()? == "new" {
            let started = Started::New(reply.parse()?);
            reply.log_failures()?;
            return Ok(started);
        }
        existing(start, reply)
    }

    pub(super) async fn act_on(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        const OP: &str = "act";
        let partition = self.partition(run);
        let mut call = Call::new(OP, partition);
        call.arg(run.as_str()).arg(self.touch(true));
        match act {
            Act::Cancel { reason } => {
                call.arg("cancel").arg(reason);
            }
            Act::Redrive { step } => {
                // One that the server gets late finds the step in another attempt.
                call.arg("redrive").arg(step.to_string()).arg(self.attempts(OP, run, step).await?);
            }
        }
        let reply = self.lasting(&call, &partition.calls, true).await.map_err(|error| error.with_key(run))?;
        self.hints.run(run, true);
        match text(reply).as_deref() {
            Some("done") => Ok(Acted::Done),
            Some("nothing") => Ok(Acted::Nothing),
            Some("missing") => Err(StoreError::no_run(OP, run)),
            _ => Err(garbled(OP)),
        }
    }

    /// How many attempts of a step have ended; empty if that is not known.
    async fn attempts(&self, op: &'static str, run: &RunId, step: &StepId) -> Result<String, StoreError> {
        let partition = self.partition(run);
        let mut command = redis::cmd("HGET");
        command.arg(partition.jobs(run)).arg(step.to_string());
        let record = match partition.calls.look(op, &command).await {
            Err(error) if error.is_retryable() => return Err(error.with_key(run)),
            record => record.ok().and_then(text).unwrap_or_default(),
        };
        let ended = |number: &str| number.parse::<u64>().ok();
        let numbers = record.split(' ').skip(2).take(3).map(ended);
        let sum = numbers.sum::<Option<u64>>().filter(|_| !record.is_empty());
        Ok(sum.map(|sum| sum.to_string()).unwrap_or_default())
    }

    pub(super) async fn append_lines(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        const OP: &str = "append";
        let partition = self.partition(run);
        let mut call = Call::new(OP, partition);
        call.arg(run.as_str());
        for line in lines {
            call.arg(entry_text(&line.entry.kind, Some(&line.step), Some(line.attempt), &line.entry.data));
        }
        // On the way of the turns, so that what a step logged before its commit stands before it.
        let append = call.run(&partition.turns);
        // The next turn waits for it, and is not held up by one node of several.
        let reply = if self.goes_apart() {
            timeout(PATIENCE, append).await.unwrap_or_else(|_| Err(silent()))
        } else {
            append.await
        };
        let reply = reply.map_err(|error| error.with_key(run))?;
        self.hints.run(run, false);
        if reply == Value::Int(1) { Ok(()) } else { Err(StoreError::no_run(OP, run)) }
    }

    pub(super) async fn forget_instance(&self, instance: &InstanceId) -> Result<(), StoreError> {
        self.turning.lock().await.forget(instance);
        let calls = self.partitions.iter().map(async |partition| {
            let mut call = Call::new("leave", partition);
            call.arg(instance.as_str());
            call.run(&partition.turns).await.map_err(|error| error.with_key(instance))
        });
        // A partition that is away keeps it from leaving none of the others.
        let left = futures_util::future::join_all(calls).await;
        left.into_iter().try_for_each(|left| left.map(drop))
    }

    pub(super) async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        let calls = self.partitions.iter().map(async |partition| {
            let mut call = Call::new("pause", partition);
            call.arg(queue.as_str()).arg(u8::from(paused));
            call.run(&partition.calls).await.map_err(|error| error.with_key(queue))
        });
        // Those that are there know it, also when it has to be asked again for the others.
        let told = futures_util::future::join_all(calls).await;
        told.into_iter().try_for_each(|told| told.map(drop))?;
        let now: &[String] = if paused { &[queue.to_string()] } else { &[] };
        self.waiting.paused([queue], now);
        self.hints.queue(queue);
        Ok(())
    }

    /// Whether a function that finds everything done already must still write something: a confirmation
    /// covers the writes of its own connection only.
    pub(super) fn touch(&self, lasting: bool) -> u8 {
        u8::from(lasting && self.options.durability != Durability::Relaxed)
    }

    /// Makes a call; one whose effect must last is answered when it does, as the URL asks.
    pub(super) async fn lasting(&self, call: &Call, link: &Link, lasting: bool) -> Result<Value, StoreError> {
        if lasting { self.lasts().call(call, link).await } else { call.run(link).await }
    }

    /// What the URL asks for.
    pub(super) fn lasts(&self) -> Lasting {
        let Options { durability, confirm, .. } = self.options;
        Lasting { durability, always: self.always, confirm }
    }
}

/// What a start is answered whose run is there. The reply goes on with its flow, and id and text of its first entry.
pub(super) fn existing(start: &Start, mut reply: Reply) -> Result<Started, StoreError> {
    let (flow, first, entry) = (reply.text()?, reply.text()?, reply.value()?);
    if flow != start.flow.as_str() {
        return Err(start.id_taken());
    }
    if first.is_empty() {
        return Ok(Started::Existing);
    }
    let damaged = |what: String| StoreError::new(ErrorKind::Corrupt, "start", what).with_key(&start.run);
    let first = first.parse().map_err(|_| damaged("entry 1 of its timeline is damaged: its id".into()))?;
    let first = codec::entry(first, &bytes(entry)).map_err(damaged)?;
    if start.is_of(first.id, &first.data) { Ok(Started::Existing) } else { Err(start.id_taken()) }
}
