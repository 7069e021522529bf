//! What time brings: delayed jobs that are due, leases that ran out, runs past their retention.

use std::convert::Infallible;
use std::time::Duration;

use nq_core::decide;
use nq_core::ledger::{self, Records};
use nq_core::record::JobState;
use nq_core::store::{Tick, Ticked};

use super::records::Maps;

impl Maps {
    pub(super) fn tick(&mut self, tick: &Tick, now_ms: u64) -> Result<Ticked, Infallible> {
        self.tick = ledger::spare(self.tick, now_ms, tick.lease_ms);
        let mut ticked = Ticked::default();
        let mut left = tick.limit;
        while let Some((due_ms, run, step)) = self.delayed.first().cloned() {
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
            while let Some((deadline_ms, run, step)) = self.leased.first().cloned() {
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
        ticked.next_due =
            self.delayed.first().map(|(due_ms, ..)| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        Ok(ticked)
    }
}
