//! The log lines of steps on their way to the store: bounded, since a step can log faster than any store appends.

use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nq_core::entry::EntryType;
use nq_core::entry::data::Log;
use nq_core::id::{RunId, StepId};
use nq_core::store::Store;
use nq_core::transaction::LogLine;
use nq_core::value;
use tokio::time::Instant;

/// The time over which the lines of a run are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// The most lines that a run may log within a second. Further lines are dropped, and the timeline says how many.
const MAX_WINDOW_LINES: u64 = 1_000;
/// The most bytes of JSON that a run may log within a second.
const MAX_WINDOW_BYTES: usize = 1024 * 1024;
/// The most bytes of all runs that wait for a store that is slow or away.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// The most lines that one call appends: a longer call would hold up everyone else who uses the store.
const BATCH_LINES: usize = 250;
/// The most bytes that one call appends, except one larger line by itself.
const BATCH_BYTES: usize = 256 * 1024;

/// The lines that wait for the store.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<State>,
}

/// The lines of runs, in batches.
pub(crate) type Batches = HashMap<RunId, Vec<Batch>>;

#[derive(Debug, Default)]
struct State {
    batches: Batches,
    bytes: usize,
    /// How much each run has logged within the last second.
    windows: HashMap<RunId, Window>,
    /// The runs of which lines were dropped, and whose timelines do not say so yet.
    dropped: HashSet<RunId>,
    /// When the windows that are over were removed.
    swept: Option<Instant>,
    /// Whether the engine knows that there is something to append.
    told: bool,
}

/// Lines that one call appends.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<LogLine>,
    bytes: usize,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    lines: u64,
    bytes: usize,
    dropped: u64,
    /// The attempt whose line was dropped last.
    by: (StepId, u32),
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WINDOW
    }
}

impl Lines {
    /// Takes a line, or counts it as dropped. True if the engine must be told that there is something to append.
    pub(crate) fn add(&self, run: &RunId, line: LogLine, now: Instant) -> bool {
        let bytes = value::size(&line.entry.data);
        let mut state = self.lock();
        let state = &mut *state;
        if !state.windows.contains_key(run) {
            let by = (line.step.clone(), line.attempt);
            state.windows.insert(run.clone(), Window { begun: now, lines: 0, bytes: 0, dropped: 0, by });
        }
        if let Some(window) = state.windows.get_mut(run) {
            if window.is_over(now) {
                (window.begun, window.lines, window.bytes) = (now, 0, 0);
            }
            let full = window.lines >= MAX_WINDOW_LINES || window.bytes + bytes > MAX_WINDOW_BYTES;
            if full || state.bytes + bytes > MAX_WAITING_BYTES {
                window.dropped += 1;
                window.by = (line.step, line.attempt);
                if window.dropped == 1 {
                    state.dropped.insert(run.clone());
                }
                return !std::mem::replace(&mut state.told, true);
            }
            window.lines += 1;
            window.bytes += bytes;
        }
        state.bytes += bytes;
        push(&mut state.batches, run, line, bytes);
        !std::mem::replace(&mut state.told, true)
    }

    /// Takes the lines that are to be appended now. For a run that lost lines, it adds a notice once a second, and before a
    /// step of the run ends (`ends`), so that the notice stands before the end of the run.
    pub(crate) fn take(&self, ends: impl Fn(&RunId) -> bool, now: Instant) -> Batches {
        let mut state = self.lock();
        let mut batches = take(&mut state.batches);
        state.bytes = 0;
        let State { windows, dropped, swept, told, .. } = &mut *state;
        dropped.retain(|run| {
            let Some(window) = windows.get_mut(run) else { return false };
            if !window.is_over(now) && !ends(run) {
                return true;
            }
            push(&mut batches, run, window.notice(), 0);
            window.dropped = 0;
            false
        });
        if swept.is_none_or(|swept| now.saturating_duration_since(swept) >= WINDOW) {
            windows.retain(|_, window| window.dropped > 0 || !window.is_over(now));
            *swept = Some(now);
        }
        *told = false;
        batches
    }

    /// Whether lines were dropped for which no notice was made yet.
    pub(crate) fn owes_notice(&self) -> bool {
        !self.lock().dropped.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves at worst a line that is counted and not there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn notice(&self) -> LogLine {
        let lines = if self.dropped == 1 { "line" } else { "lines" };
        let message = format!(
            "{} log {lines} dropped: within a second a run may log {MAX_WINDOW_LINES} lines and {MAX_WINDOW_BYTES} bytes",
            self.dropped
        );
        let (step, attempt) = self.by.clone();
        LogLine { step, attempt, entry: Log::new(message).at(EntryType::LogWarn) }
    }
}

fn push(batches: &mut Batches, run: &RunId, line: LogLine, bytes: usize) {
    let fits = |batch: &Batch| batch.lines.len() < BATCH_LINES && batch.bytes + bytes <= BATCH_BYTES;
    let batches = match batches.get_mut(run) {
        Some(batches) => batches,
        None => batches.entry(run.clone()).or_default(),
    };
    if !batches.last().is_some_and(fits) {
        batches.push(Batch::default());
    }
    if let Some(batch) = batches.last_mut() {
        batch.lines.push(line);
        batch.bytes += bytes;
    }
}

/// Appends log lines, each batch by a call of its own, all at once. A turn that is sent with them is written after them.
/// They are not retried: a line may be lost, and no line is worth holding up work.
pub(crate) async fn append(store: &dyn Store, logs: Batches) {
    let batches = logs
        .into_iter()
        .flat_map(|(run, batches)| batches.into_iter().map(move |batch| (run.clone(), batch)));
    let appends = batches.map(|(run, batch)| async move { store.append(&run, &batch.lines).await });
    for result in futures_util::future::join_all(appends).await {
        if let Err(error) = result {
            tracing::debug!(%error, "log lines were lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use nq_core::entry::data::EntryData;
    use nq_core::id::{EntryId, Name};

    use super::*;

    fn line(text: &str) -> LogLine {
        let step = StepId::new(Name::new("w").unwrap(), EntryId { ms: 1, n: 1 });
        LogLine { step, attempt: 1, entry: Log::new(text).at(EntryType::LogInfo) }
    }

    fn run(id: &str) -> RunId {
        RunId::new(id).unwrap()
    }

    fn texts(batches: &Batches, run: &RunId) -> Vec<String> {
        let lines = batches.get(run).into_iter().flatten().flat_map(|batch| &batch.lines);
        lines.map(|line| Log::from_json(line.entry.data.clone()).unwrap().message).collect()
    }

    #[test]
    fn a_run_that_floods_its_log_loses_lines_and_says_how_many() {
        let (lines, now, flood, quiet) = (Lines::default(), Instant::now(), run("flood"), run("quiet"));
        assert!(lines.add(&flood, line("0"), now), "the engine is told of the first");
        for n in 1..500_000 {
            assert!(!lines.add(&flood, line(&n.to_string()), now));
        }
        lines.add(&quiet, line("here"), now);
        let batches = lines.take(|_| false, now);
        assert_eq!(texts(&batches, &flood).len() as u64, MAX_WINDOW_LINES);
        assert_eq!(texts(&batches, &quiet), ["here"], "another run is not touched by it");
        assert!(batches.values().flatten().all(|batch| batch.lines.len() <= BATCH_LINES));

        assert!(lines.take(|_| false, now).is_empty(), "it is said once a second");
        assert!(lines.owes_notice());
        let said = texts(&lines.take(|_| false, now + WINDOW), &flood);
        assert!(said.len() == 1 && said[0].starts_with("499000 log lines dropped"), "{said:?}");
        assert!(!lines.owes_notice());
        assert!(lines.add(&flood, line("again"), now + WINDOW), "the next second is its own");
        assert_eq!(texts(&lines.take(|_| false, now + WINDOW), &flood), ["again"]);
    }

    #[test]
    fn what_was_dropped_is_said_before_a_step_of_the_run_ends() {
        let (lines, now, flood) = (Lines::default(), Instant::now(), run("flood"));
        for _ in 0..=MAX_WINDOW_LINES {
            lines.add(&flood, line("x"), now);
        }
        let said = texts(&lines.take(|run| *run == flood, now), &flood);
        assert!(said.last().unwrap().starts_with("1 log line dropped"), "{said:?}");
    }

    #[test]
    fn lines_that_wait_are_bounded_by_their_bytes() {
        let (lines, now) = (Lines::default(), Instant::now());
        let large = "x".repeat(10_000);
        for n in 0..40 {
            let run = run(&format!("r{n}"));
            for _ in 0..200 {
                lines.add(&run, line(&large), now);
            }
        }
        let batches = lines.take(|_| false, now);
        let bytes: usize = batches.values().flatten().map(|batch| batch.bytes).sum();
        assert!((MAX_WAITING_BYTES / 2..=MAX_WAITING_BYTES).contains(&bytes), "{bytes}");
        assert!(batches.values().flatten().all(|batch| batch.bytes <= BATCH_BYTES));
        assert!(
            batches
                .values()
                .all(|batches| batches.iter().map(|batch| batch.bytes).sum::<usize>() <= MAX_WINDOW_BYTES)
        );
    }

    #[test]
    fn what_a_run_has_logged_is_forgotten() {
        let (lines, now) = (Lines::default(), Instant::now());
        for n in 0..100 {
            lines.add(&run(&format!("r{n}")), line("x"), now);
        }
        lines.take(|_| false, now);
        lines.take(|_| false, now + WINDOW);
        assert!(lines.lock().windows.is_empty());
    }
}
