//! The one form in which a leased job comes from the server: in the reply to a turn, in that to a turn which was sent
//! again, and in the inbox of an instance to which a start has given it. `library/lease.lua` writes it.

use nq_core::entry::{Entry, NewEntry};
use nq_core::id::EntryId;
use nq_core::ledger::arrived;
use nq_core::store::{Lease, StoreError};
use nq_core::transaction::Transaction;
use redis::Value;

use super::codec;
use super::errors::garbled;
use super::keys::unword;
use super::reply::{Reply, lossy};

/// A leased job that cannot be read: what names it, as it came, and what is wrong with it.
pub(super) struct Unreadable {
    pub(super) run: String,
    pub(super) step: String,
    pub(super) fence: String,
    pub(super) what: String,
}

/// Takes a lease from a reply, and the ticket that it came by. One that cannot be read must not spoil those behind it.
///
/// It is a line `<ticket> <run> <flow> <step> <fence> <attempt> <failures> <read> <recorded>⇥<spec>⇥<inputs>`; then comes
/// the entry of each input, or `=<write> <entry>` where one of these writes, which the call has brought, has it.
pub(super) fn lease(
    reply: &mut Reply,
    writes: &[&Transaction],
) -> Result<Result<(EntryId, Lease), Unreadable>, StoreError> {
    let line = lossy(reply.value()?);
    let mut parts = line.splitn(3, '\t');
    let mut part = || parts.next().ok_or_else(|| garbled("lease"));
    let (head, spec, inputs) = (part()?, part()?, part()?);
    let words: Vec<_> = head.split(' ').collect();
    let [ticket, run, flow, step, fence, attempt, failures, read, recorded] = words[..] else {
        return Err(garbled("lease"));
    };
    let ticket = ticket.parse().map_err(|_| garbled("lease"))?;
    let ids: Vec<_> = inputs.split(' ').filter(|word| !word.is_empty()).collect();
    let mut entries = Vec::with_capacity(ids.len() / 2);
    for _ in ids.chunks_exact(2) {
        entries.push(reply.value()?);
    }
    let decoded = || {
        if ids.len() % 2 != 0 {
            return Err(format!("its inputs are damaged: {inputs:?}"));
        }
        let mut lease = Lease {
            run: parsed("run", run)?,
            flow: parsed("flow", flow)?,
            step: parsed("step", step)?,
            queue: parsed("queue", spec.split(' ').nth(2).unwrap_or_default())?,
            fence: parsed("fence", fence)?,
            attempt: parsed("attempt", attempt)?,
            failures: parsed("count of failures", failures)?,
            read: parsed("read position", read)?,
            recorded: parsed("count of operations", recorded)?,
            inputs: Vec::with_capacity(entries.len()),
        };
        for (words, entry) in ids.chunks_exact(2).zip(entries) {
            let entry = input(parsed("input", words[0])?, entry, writes)?;
            lease.inputs.push(arrived(entry, unword(words[1])));
        }
        Ok(lease)
    };
    let decoded: Result<Lease, String> = decoded();
    let unreadable = |what| Unreadable { run: run.into(), step: step.into(), fence: fence.into(), what };
    Ok(decoded.map(|lease| (ticket, lease)).map_err(unreadable))
}

/// The entry of an input.
fn input(id: EntryId, value: Value, writes: &[&Transaction]) -> Result<Entry, String> {
    let Value::BulkString(text) = value else { return codec::entry(id, &[]) };
    if !text.starts_with(b"=") {
        return codec::entry(id, &text);
    }
    let numbers = std::str::from_utf8(&text[1..]).ok().and_then(|numbers| {
        let (write, entry) = numbers.split_once(' ')?;
        Some((write.parse::<usize>().ok()?.checked_sub(1)?, entry.parse::<usize>().ok()?.checked_sub(1)?))
    });
    let brought = numbers.and_then(|(write, entry)| writes.get(write)?.entries.get(entry));
    let NewEntry { kind, data } = brought.ok_or("its input is none that came with the call")?;
    Ok(Entry { id, kind: kind.clone(), step: None, attempt: None, data: data.clone() })
}

fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("its {what} is damaged: {text:?}"))
}

/// A job that was given, and the number of the offer that brought it.
pub(super) fn given(value: Value) -> Option<(u64, Lease)> {
    let Value::BulkString(text) = value else { return None };
    let mut parts = text.splitn(3, |byte| *byte == b'\n').map(|part| Value::BulkString(part.to_vec()));
    let number = lossy(parts.next()?).parse().ok()?;
    let mut reply = Reply::new("offer", Value::Array(parts.collect())).ok()?;
    let (_, lease) = lease(&mut reply, &[]).ok()?.ok()?;
    Some((number, lease))
}
