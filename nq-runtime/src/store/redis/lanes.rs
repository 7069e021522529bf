//! What became of the parts of turns, partition by partition: a node of a cluster that is away holds up the writes,
//! renewals and jobs of its own partitions, and nothing else.
//!
//! A part that was not answered is unknown. It is sent again, as it was, until it is answered, and before that nothing
//! else is sent to its partition on the lane: so each of its writes is done once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use nq_core::id::{EntryId, InstanceId};
use nq_core::store::{Answer, ErrorKind, Lease, StoreError};
use nq_core::transaction::Transaction;
use redis::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::lasting::Lasting;
use super::library::Call;
use super::link::Link;

/// How long a turn waits for one partition where others can go on without it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often a part is sent before its partition counts as away: one connection that ends is no outage.
const TRIES: usize = 2;

/// The lanes of the instances that take turns by this store.
#[derive(Default)]
pub(super) struct Lanes {
    instances: HashMap<InstanceId, Vec<Lane>>,
}

impl Lanes {
    /// The lanes of an instance, one in each partition.
    pub(super) fn of(&mut self, instance: &InstanceId, partitions: usize) -> &mut Vec<Lane> {
        self.instances
            .entry(instance.clone())
            .or_insert_with(|| std::iter::repeat_with(Lane::default).take(partitions).collect())
    }

    /// The instance has left: what was not answered is of no use any more.
    pub(super) fn forget(&mut self, instance: &InstanceId) {
        self.instances.remove(instance);
    }
}

/// What an instance knows of its lane in one partition.
#[derive(Default)]
pub(super) struct Lane {
    /// The number of the last turn that was answered, if one was.
    last: Option<u64>,
    /// Whether the second part of that turn may have leased jobs that nobody was told of.
    unheard: bool,
    /// The number of the last turn that was taken, whether or not this partition has answered it.
    taken: Option<u64>,
    /// The part that was sent and is not answered.
    pending: Option<Pending>,
    /// Answers to writes whose turn went on without them, each with whether its run has ended by it.
    late: Vec<(Transaction, Answer, bool)>,
}

/// A part of a turn that is unknown.
struct Pending {
    /// The turn.
    number: u64,
    /// Its writes.
    writes: Vec<Transaction>,
    sending: Sending,
    task: JoinHandle<Result<Value, StoreError>>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A call of a part, as often as it takes.
#[derive(Clone)]
pub(super) struct Sending {
    pub(super) call: Arc<Call>,
    pub(super) link: Arc<Link>,
    pub(super) lasting: Option<Lasting>,
}

impl Sending {
    /// Sends the part beside whatever else is done.
    fn spawn(&self) -> JoinHandle<Result<Value, StoreError>> {
        let sending = self.clone();
        // On the runtime of the instance whose turn it is part of.
        Handle::current().spawn(async move { sending.send().await })
    }

    /// Sends the part.
    pub(super) async fn send(&self) -> Result<Value, StoreError> {
        match &self.lasting {
            Some(lasting) => lasting.call(&self.call, &self.link).await,
            None => self.call.run(&self.link).await,
        }
    }

    /// Sends the part. None if it is not answered soon enough, or at all.
    pub(super) async fn try_send(&self, patient: bool) -> Result<Value, Option<StoreError>> {
        let mut last = None;
        for _ in 0..TRIES {
            let reply = if patient { Ok(self.send().await) } else { timeout(PATIENCE, self.send()).await };
            match reply {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => last = Some(error),
                Err(_) => break,
            }
            if last.as_ref().is_some_and(|error| !error.is_retryable()) {
                break;
            }
        }
        Err(last)
    }
}

impl Lane {
    /// Behind which turn one of this number comes here: the last that was answered. One that does not follow the last
    /// that was taken hides nothing from the partition, which sees the gap.
    pub(super) fn take(&mut self, number: u64) -> u64 {
        let before = number.saturating_sub(1);
        if self.taken.is_some_and(|taken| before > taken) {
            return before;
        }
        self.taken = Some(number);
        self.last.unwrap_or(before)
    }

    /// Whether jobs may have been leased that nobody was told of.
    pub(super) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// The first part of the turn of this number was answered, and with it what was leased by an earlier second part
    /// of the same turn; that of another has gone back by it.
    pub(super) fn answered(&mut self, number: u64, leases: &[(EntryId, Lease)]) {
        let again = self.last.replace(number) == Some(number);
        self.unheard &= again && leases.is_empty();
    }

    /// What a second part has leased is known.
    pub(super) fn heard(&mut self) {
        self.unheard = false;
    }

    /// A second part is sent: it may lease what nobody hears of.
    pub(super) fn expects_leases(&mut self) {
        self.unheard = true;
    }

    /// The turn whose part is not answered, if there is one.
    pub(super) fn pending_number(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.number)
    }

    /// Goes on sending a part that was not answered, beside the turns.
    pub(super) fn leave_pending(&mut self, number: u64, writes: Vec<Transaction>, sending: Sending) {
        let task = sending.spawn();
        self.pending = Some(Pending { number, writes, sending, task });
    }

    /// Takes the answer to the pending part, with its writes, if it has come. A part that failed is sent again.
    pub(super) async fn settle(
        &mut self,
        patient: bool,
    ) -> Option<Result<(Value, Vec<Transaction>), StoreError>> {
        let pending = self.pending.as_mut()?;
        let ended =
            if patient { Some((&mut pending.task).await) } else { (&mut pending.task).now_or_never() };
        match ended? {
            Ok(Ok(reply)) => {
                let writes = std::mem::take(&mut pending.writes);
                self.pending = None;
                Some(Ok((reply, writes)))
            }
            Ok(Err(error)) if !error.is_retryable() => Some(Err(error)),
            failed => {
                pending.task = pending.sending.spawn();
                // Without an error, its runtime has ended.
                failed.ok().map(|error| Err(error.err().unwrap_or_else(silent)))
            }
        }
    }

    /// Keeps the answers to the writes of a part whose turn has gone on.
    pub(super) fn keep(&mut self, writes: Vec<Transaction>, answers: Vec<(Answer, bool)>) {
        let answered = writes.into_iter().zip(answers);
        self.late.extend(answered.map(|(write, (answer, ended))| (write, answer, ended)));
    }

    /// The answer to this write, if a part of an earlier turn has made it.
    pub(super) fn late(&self, write: &Transaction) -> Option<(Answer, bool)> {
        let (_, answer, ended) = self.late.iter().find(|(known, ..)| known == write)?;
        Some((answer.clone(), *ended))
    }

    /// The turn of these writes is answered: what was kept for them has been told.
    pub(super) fn told(&mut self, writes: &[Transaction]) {
        if !self.late.is_empty() {
            self.late.retain(|(known, ..)| !writes.contains(known));
        }
    }
}

/// The error of a partition that says nothing.
pub(super) fn silent() -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "turn", "the node that holds a part of the runs does not answer")
}
