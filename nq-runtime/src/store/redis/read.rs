//! Reading timelines, in pages that neither the server nor the reader chokes on.

use nq_core::entry::Entry;
use nq_core::id::RunId;
use nq_core::limits::{MAX_READ_BYTES, MAX_READ_ENTRIES};
use nq_core::record::RunRecord;
use nq_core::store::{ErrorKind, Gathered, Read, StoreError};
use redis::Value;

use super::RedisStore;
use super::codec;
use super::errors::garbled;
use super::library::Call;
use super::reply::{Reply, lossy};

impl RedisStore {
    pub(super) async fn read_entries(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        const OP: &str = "read";
        let partition = self.partition(&read.run);
        let limit = read.limit.min(MAX_READ_ENTRIES);
        let (mut after, mut upto, mut seen) = (read.after, read.upto, read.seen);
        let mut entries: Vec<Entry> = Vec::new();
        // A page of rare types takes several calls, each of which looks at a bounded number of entries.
        loop {
            let mut call = Call::reading(OP, partition);
            call.arg(read.run.as_str())
                .arg(after)
                .arg(upto.map_or(-1, |upto| upto as i64))
                .arg(limit - entries.len())
                .arg(MAX_READ_BYTES)
                .arg(u8::from(read.reverse))
                .arg(seen.map(|seen| seen.to_string()).unwrap_or_default());
            for kind in &read.types {
                call.arg(&*codec::kind_word(kind));
            }
            let reply = call.run(&partition.calls).await.map_err(|error| error.with_key(&read.run))?;
            if reply == Value::Nil {
                return Err(StoreError::no_run(OP, &read.run));
            }
            let mut reply = Reply::new(OP, reply)?;
            let at = reply.text()?;
            if at == "lost" {
                let last = reply.parse()?;
                // None of those that the store has is the one that was seen.
                read.follows(last, None)?;
                return Err(StoreError::lost(OP, &read.run, format_args!("entry {after}"), last));
            }
            let at: u64 = at.parse().map_err(|_| garbled(OP))?;
            let end = reply.number()? == 1;
            let before = entries.len();
            while !reply.is_empty() {
                entries.push(reply.entry(&read.run)?);
            }
            if read.types.is_empty() {
                gapless(&read.run, &entries)?;
            }
            // What was seen was looked for by the first call.
            seen = None;
            // What has come fills the page, or is large: the reader asks for more.
            if end || entries.len() > before || entries.len() >= limit {
                return Ok(entries);
            }
            if read.reverse {
                upto = Some(at.saturating_sub(1));
            } else {
                after = at;
            }
        }
    }

    pub(super) async fn read_gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        const OP: &str = "gathered";
        let Gathered { run, worker, upto, from, limit, seen } = gathered;
        let partition = self.partition(run);
        let mut call = Call::reading(OP, partition);
        call.arg(run.as_str())
            .arg(worker.as_str())
            .arg(*upto)
            .arg((*from).min(u64::from(u32::MAX)))
            .arg((*limit).min(MAX_READ_ENTRIES))
            .arg(MAX_READ_BYTES)
            .arg(seen.map(|seen| seen.to_string()).unwrap_or_default());
        let reply = call.run(&partition.calls).await.map_err(|error| error.with_key(run))?;
        if reply == Value::Nil {
            return Err(StoreError::no_run(OP, run));
        }
        let mut reply = Reply::new(OP, reply)?;
        if reply.text()? == "lost" {
            // None of those that the store has is the one that was seen.
            gathered.follows(reply.parse()?, None)?;
        }
        let mut entries = Vec::new();
        while !reply.is_empty() {
            entries.push(reply.entry(run)?);
        }
        Ok(entries)
    }

    pub(super) async fn summary(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        const OP: &str = "run";
        let partition = self.partition(run);
        let mut command = redis::cmd("GET");
        command.arg(partition.run(run));
        let reply = partition.calls.look(OP, &command).await.map_err(|error| error.with_key(run))?;
        if reply == Value::Nil {
            return Ok(None);
        }
        let record = lossy(reply);
        let head = record.lines().next().unwrap_or_default();
        codec::run(run.clone(), head).map(Some).ok_or_else(|| garbled(OP).with_key(run))
    }
}

/// A timeline counts its entries without a gap, so what is lost shows.
fn gapless(run: &RunId, entries: &[Entry]) -> Result<(), StoreError> {
    match entries.windows(2).find(|pair| pair[0].id.n.abs_diff(pair[1].id.n) != 1) {
        None => Ok(()),
        Some(pair) => {
            let message =
                format!("the timeline goes from `{}` to `{}`: entries are lost", pair[0].id, pair[1].id);
            Err(StoreError::new(ErrorKind::Corrupt, "read", message).with_key(run))
        }
    }
}
