//! The limits of sizes. A store may rely on them: a value that passes a limit is refused in the call that made it.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

/// The largest payload of one event, state value or result, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// How many arrays and objects a payload, state value or result may have in each other. What a store reads and
/// writes around it stays well below the 128 levels at which `serde_json` refuses to read.
pub const MAX_DEPTH: usize = 64;
/// The longest text that a program leaves in a timeline beside its payloads: an error, a panic's message, a log
/// message, the reason of a cancel. In bytes; [`cut`] shortens what is longer.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The longest state key, name of a `ctx.run` and path of scopes, in bytes. A longer one is refused.
pub const MAX_KEY_BYTES: usize = 1024;
/// The most fields that a log line keeps.
pub const MAX_LOG_FIELDS: usize = 64;
/// The most bytes that the fields of a log line have together. [`cut`] shortens the field that passes the limit, and the
/// fields after it are left out.
pub const MAX_LOG_FIELDS_BYTES: usize = 64 * 1024;
/// The most entries that one commit may append.
pub const MAX_COMMIT_ENTRIES: usize = 10_000;
/// The most bytes of payload that one commit may append.
pub const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;
/// The most writes that one turn carries, except one larger commit by itself.
pub const MAX_TURN_WRITES: usize = 500;
/// The most bytes that one turn carries, except one larger commit by itself.
pub const MAX_TURN_BYTES: usize = 1024 * 1024;
/// The most entries that one read returns.
pub const MAX_READ_ENTRIES: usize = 1_000;
/// The most entries that a rerun copies from the run that it forks.
pub const MAX_FORK_ENTRIES: usize = 100_000;
/// The most bytes of data that these entries have together.
pub const MAX_FORK_BYTES: usize = 64 * 1024 * 1024;
/// The most steps that a rerun runs again, together with the events that wait at its joins.
pub const MAX_FORK_JOBS: usize = 10_000;
/// How many runs or jobs a page lists if the query says nothing.
pub const LISTED: usize = 100;
/// About the most bytes of JSON that one read returns; a larger entry comes by itself.
pub const MAX_READ_BYTES: usize = 8 * 1024 * 1024;
/// The longest lease of a job that an offer has brought, until a turn renews it. The instance that offered may be dead by
/// then, and the job should not wait a whole lease for another one.
pub const GIVEN_MS: u64 = 3_000;
/// How many state entries call for a snapshot.
pub const SNAPSHOT_STATE_ENTRIES: usize = 200;
/// How many entries of any kind call for a snapshot, if the run has any state.
pub const SNAPSHOT_ENTRIES: u64 = 2_000;
/// The latest moment that every store can hold exactly, in milliseconds since 1970: some keep times as
/// floating-point numbers.
pub const MAX_TIME_MS: u64 = (1 << 53) - 1;

/// A duration in milliseconds, at most [`MAX_TIME_MS`]. So a store can hold every duration that a program can write, and
/// an enormous one never ends.
///
/// ```
/// use std::time::Duration;
/// use nq_core::limits::{MAX_TIME_MS, duration_ms};
///
/// assert_eq!(duration_ms(Duration::from_secs(2)), 2_000);
/// assert_eq!(duration_ms(Duration::MAX), MAX_TIME_MS);
/// ```
pub const fn duration_ms(duration: Duration) -> u64 {
    let ms = duration.as_millis();
    if ms > MAX_TIME_MS as u128 { MAX_TIME_MS } else { ms as u64 }
}

/// The moment so many milliseconds after another, at most [`MAX_TIME_MS`].
pub fn time_ms(now_ms: u64, after_ms: u64) -> u64 {
    now_ms.saturating_add(after_ms).min(MAX_TIME_MS)
}

/// A text of at most [`MAX_TEXT_BYTES`]: a longer one is cut between two characters, and a mark at its end says
/// how many bytes are missing.
///
/// ```
/// use nq_core::limits::{MAX_TEXT_BYTES, cut};
///
/// assert_eq!(cut("a short error"), "a short error");
/// let long = cut("x".repeat(MAX_TEXT_BYTES + 1));
/// assert!(long.len() <= MAX_TEXT_BYTES);
/// assert!(long.ends_with(" more bytes)"));
/// ```
pub fn cut<'a>(text: impl Into<Cow<'a, str>>) -> String {
    cut_to(text, MAX_TEXT_BYTES)
}

/// A text of at most so many bytes, cut like [`cut`] does it. A limit below 64 bytes counts as 64.
pub fn cut_to<'a>(text: impl Into<Cow<'a, str>>, limit: usize) -> String {
    let text = text.into();
    if text.len() <= limit {
        return text.into_owned();
    }
    let mut cut = Cut::new(limit);
    // `Cut` fails only for a text that never ends.
    let _ = cut.write_str(&text);
    cut.finish()
}

/// The text that a value displays, shortened as by [`cut`]. The part that is cut off is never in memory. If `Display`
/// fails, the text ends there; if it never stops writing, it is stopped.
pub fn display(value: impl fmt::Display) -> String {
    display_to(value, MAX_TEXT_BYTES)
}

/// The same as [`display`], in at most so many bytes. A limit below 64 bytes counts as 64.
pub fn display_to(value: impl fmt::Display, limit: usize) -> String {
    let mut cut = Cut::new(limit);
    let failed = write!(cut, "{value}").is_err() && cut.missing == 0;
    let mut text = cut.finish();
    if failed {
        text = cut_to(text + " (its `Display` failed here)", limit);
    }
    text
}

/// The beginning of a text, and how much of it is missing.
struct Cut {
    text: String,
    missing: usize,
    limit: usize,
}

impl Cut {
    /// The room for the mark.
    const MARK: usize = 40;
    /// The most missing bytes that are counted: a `Display` that writes more may never end, and is stopped.
    const COUNTED: usize = 256 * 1024 * 1024;

    fn new(limit: usize) -> Self {
        Self { text: String::new(), missing: 0, limit: limit.max(64) }
    }

    fn finish(mut self) -> String {
        if self.missing > 0 {
            let keep = self.text.floor_char_boundary(self.limit - Self::MARK);
            let missing = self.missing + self.text.len() - keep;
            self.text.truncate(keep);
            self.text.push_str(&format!("… ({missing} more bytes)"));
        }
        self.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.missing == 0 { self.limit - self.text.len() } else { 0 };
        let kept = text.floor_char_boundary(room);
        self.text.push_str(&text[..kept]);
        self.missing += text.len() - kept;
        if self.missing > Self::COUNTED { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_beyond_all_time_is_only_the_longest() {
        let longest = Duration::from_millis(MAX_TIME_MS);
        assert_eq!(duration_ms(longest.saturating_sub(Duration::from_millis(1))), MAX_TIME_MS - 1);
        assert_eq!(duration_ms(longest), MAX_TIME_MS);
        // 2^61 seconds are 125 times 2^64 milliseconds, of which a `u64` that is cut keeps nothing.
        for longer in [longest + Duration::from_millis(1), Duration::MAX, Duration::from_secs(1 << 61)] {
            assert_eq!(duration_ms(longer), MAX_TIME_MS, "{longer:?}");
        }
        assert_eq!(duration_ms(Duration::from_micros(999)), 0);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_what_is_missing() {
        for (length, whole) in
            [(MAX_TEXT_BYTES - 1, true), (MAX_TEXT_BYTES, true), (MAX_TEXT_BYTES + 1, false)]
        {
            let text = "x".repeat(length);
            let short = cut(&text);
            assert_eq!(short == text, whole, "{length}");
            assert!(short.len() <= MAX_TEXT_BYTES);
            assert_eq!(cut(&short), short, "what is cut is not cut again");
            assert_eq!(display(&text), short);
        }
        let wide = "ü".repeat(20 * 1024 * 1024);
        let short = cut(&wide);
        let kept = short.find('…').unwrap();
        assert_eq!(short[kept..], format!("… ({} more bytes)", wide.len() - kept));
        assert!(wide.starts_with(&short[..kept]));
        assert!(cut_to("x".repeat(100), 0).len() <= 64);
    }

    #[test]
    fn a_display_that_fails_or_never_ends_is_cut() {
        struct Fails;
        impl fmt::Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }

        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str(&"x".repeat(1 << 20))?;
                }
            }
        }
        assert_eq!(display(Fails), "half (its `Display` failed here)");
        let text = display(Endless);
        assert!(text.len() <= MAX_TEXT_BYTES && text.ends_with(" more bytes)"), "{}", text.len());
    }
}
