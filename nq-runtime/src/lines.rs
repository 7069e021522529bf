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
/// The most lines that a run may log within a second. What is more is dropped, and the timeline says how much.
const MAX_WINDOW_LINES: u64 = 1_000;
/// The most bytes of JSON that a run may log within a second.
const MAX_WINDOW_BYTES: usize = 1024 * 1024;
/// The most bytes of all runs that wait for a store that is slow or away.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// The most lines that one call appends: it holds up whoever else uses the store.
const PAGE_LINES: usize = 250;
/// The most bytes that one call appends, except one larger line by itself.
const PAGE_BYTES: usize = 256 * 1024;

/// The lines that wait for the store.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<State>,
}

/// Lines of runs, in pages.
pub(crate) type Pages = HashMap<RunId, Vec<Page>>;

#[derive(Debug, Default)]
struct State {
    pages: Pages,
    bytes: usize,
    /// What each run has logged of late.
    windows: HashMap<RunId, Window>,
    /// The runs of which lines were dropped and nothing was said yet.
    dropped: HashSet<RunId>,
    /// When the windows that are over were removed.
    swept: Option<Instant>,
    /// Whether the engine knows that there is something to append.
    told: bool,
}

/// Lines that one call appends.
#[derive(Debug, Default)]
pub(crate) struct Page {
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
        push(&mut state.pages, run, line, bytes);
        !std::mem::replace(&mut state.told, true)
    }

    /// What there is to append now. That lines were dropped is said once a second, and before a step of the run
    /// ends (`ends`): whoever reads the run up to its end reads it too.
    pub(crate) fn take(&self, ends: impl Fn(&RunId) -> bool, now: Instant) -> Pages {
        let mut state = self.lock();
        let mut pages = take(&mut state.pages);
        state.bytes = 0;
        let State { windows, dropped, swept, told, .. } = &mut *state;
        dropped.retain(|run| {
            let Some(window) = windows.get_mut(run) else { return false };
            if !window.is_over(now) && !ends(run) {
                return true;
            }
            push(&mut pages, run, window.notice(), 0);
            window.dropped = 0;
            false
        });
        if swept.is_none_or(|swept| now.saturating_duration_since(swept) >= WINDOW) {
            windows.retain(|_, window| window.dropped > 0 || !window.is_over(now));
            *swept = Some(now);
        }
        *told = false;
        pages
    }

    /// Whether lines were dropped of which nothing was said yet.
    pub(crate) fn owes_notice(&self) -> bool {
        !self.lock().dropped.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic leaves is at worst a line that is counted and not there.
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

fn push(pages: &mut Pages, run: &RunId, line: LogLine, bytes: usize) {
    let fits = |page: &Page| page.lines.len() < PAGE_LINES && page.bytes + bytes <= PAGE_BYTES;
    let pages = match pages.get_mut(run) {
        Some(pages) => pages,
        None => pages.entry(run.clone()).or_default(),
    };
    if !pages.last().is_some_and(fits) {
        pages.push(Page::default());
    }
    if let Some(page) = pages.last_mut() {
        page.lines.push(line);
        page.bytes += bytes;
    }
}

/// Appends log lines, each page by a call of its own. All are sent at once: what a turn carries that is sent with them
/// stands behind them. They are not worth a retry: a line may be lost, none is worth holding up work for.
pub(crate) async fn append(store: &dyn Store, logs: Pages) {
    let pages =
        logs.into_iter().flat_map(|(run, pages)| pages.into_iter().map(move |page| (run.clone(), page)));
    let appends = pages.map(|(run, page)| async move { store.append(&run, &page.lines).await });
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

    fn texts(pages: &Pages, run: &RunId) -> Vec<String> {
        let lines = pages.get(run).into_iter().flatten().flat_map(|page| &page.lines);
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
        let pages = lines.take(|_| false, now);
        assert_eq!(texts(&pages, &flood).len() as u64, MAX_WINDOW_LINES);
        assert_eq!(texts(&pages, &quiet), ["here"], "another run is not touched by it");
        assert!(pages.values().flatten().all(|page| page.lines.len() <= PAGE_LINES));

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
        let pages = lines.take(|_| false, now);
        let bytes: usize = pages.values().flatten().map(|page| page.bytes).sum();
        assert!((MAX_WAITING_BYTES / 2..=MAX_WAITING_BYTES).contains(&bytes), "{bytes}");
        assert!(pages.values().flatten().all(|page| page.bytes <= PAGE_BYTES));
        assert!(
            pages
                .values()
                .all(|pages| pages.iter().map(|page| page.bytes).sum::<usize>() <= MAX_WINDOW_BYTES)
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
