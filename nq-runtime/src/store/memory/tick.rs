//! Ticks: delayed jobs that are due, expired leases, and runs past their retention.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use nq_core::decide;
use nq_core::id::RunId;
use nq_core::ledger::{self, Records};
use nq_core::limits;
use nq_core::record::{JobState, StateKind};
use nq_core::store::{Tick, Ticked};

use super::records::Maps;

/// How many jobs of ended runs a tick drops. All other calls wait meanwhile, so it is bounded.
const MAX_DROPPED: usize = 1_000;
/// How long after its last turn the lane of an instance is forgotten that died without leaving.
const KEEP_LANE_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

impl Maps {
    pub(super) fn tick(&mut self, tick: &Tick, now_ms: u64) -> Result<Ticked, Infallible> {
        self.tick = ledger::spare(self.tick, now_ms, tick.lease_ms);
        let until_ms = limits::time_ms(now_ms, tick.lease_ms);
        self.served.extend(tick.serves.iter().map(|queue| (queue.clone(), until_ms)));
        let mut ticked = Ticked::default();
        let mut left = tick.limit;
        while let Some((due_ms, run, step)) = self.in_state(StateKind::Delayed).first().cloned() {
            if due_ms > now_ms {
                break;
            }
            let Some(rest) = left.checked_sub(1) else {
                ticked.more = true;
                break;
            };
            left = rest;
            ticked.due += usize::from(ledger::due(self, &run, &step, now_ms)?);
        }
        if now_ms >= self.tick.spared_until_ms {
            while let Some((deadline_ms, run, step)) = self.in_state(StateKind::Leased).first().cloned() {
                if deadline_ms > now_ms {
                    break;
                }
                let Some(rest) = left.checked_sub(1) else {
                    ticked.more = true;
                    break;
                };
                left = rest;
                let Some(job) = self.job(&run, &step)? else { break };
                let JobState::Leased { instance, .. } = &job.state else { break };
                let why = decide::lost(instance);
                ticked.expired += usize::from(ledger::expire(self, &run, &step, job.fence, &why, now_ms)?);
            }
        }
        self.drop_rest(&mut ticked);
        self.right_ends(now_ms, &mut ticked);
        let retention = [(false, tick.retention.completed_ms), (true, tick.retention.failed_ms)];
        for (failed, keep_ms) in retention {
            let Some(oldest_ms) = keep_ms.and_then(|keep_ms| now_ms.checked_sub(keep_ms)) else { continue };
            loop {
                let runs = if failed { &self.failed } else { &self.completed };
                let Some((_, run)) = runs.first().filter(|(ended_ms, _)| *ended_ms <= oldest_ms) else {
                    break;
                };
                let Some(rest) = left.checked_sub(1) else {
                    ticked.more = true;
                    break;
                };
                left = rest;
                let run = run.clone();
                self.remove(&run);
                ticked.removed += 1;
            }
        }
        let next = self.in_state(StateKind::Delayed).first();
        ticked.next_due = next.map(|(due_ms, ..)| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        // After a sleep of the machine, its instances get the time of a lease to send a turn.
        if now_ms >= self.tick.spared_until_ms {
            let forgotten_ms = now_ms.saturating_sub(KEEP_LANE_MS);
            self.lanes.retain(|_, lane| lane.at_ms >= forgotten_ms);
        }
        Ok(ticked)
    }

    /// Drops more jobs of runs that have ended with very many.
    fn drop_rest(&mut self, ticked: &mut Ticked) {
        let mut left = MAX_DROPPED;
        while let Some(run) = self.ending.first().filter(|_| left > 0).cloned() {
            left = left.saturating_sub(self.drop_some(&run, left).max(1));
        }
        ticked.more |= !self.ending.is_empty();
    }

    /// Repairs the end of runs that ended before the clock went back. They would be kept until the clock comes to that
    /// time again.
    fn right_ends(&mut self, now_ms: u64, ticked: &mut Ticked) {
        let ahead = |runs: &BTreeSet<(u64, RunId)>| {
            let ahead = runs.iter().rev().take_while(|(ended_ms, _)| *ended_ms > now_ms);
            ahead.take(MAX_DROPPED).map(|(_, run)| run.clone()).collect::<Vec<_>>()
        };
        let runs = [ahead(&self.completed), ahead(&self.failed)];
        ticked.more |= runs.iter().any(|runs| runs.len() == MAX_DROPPED);
        for run in runs.into_iter().flatten() {
            self.end_now(&run, now_ms);
        }
    }
}
