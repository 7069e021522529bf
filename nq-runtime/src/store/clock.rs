//! The clock of the stores that run in this process.

use nq_core::limits::duration_ms;

/// Milliseconds since 1970. It may jump; ids made from it never go back.
pub(super) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place where the embedded stores read the clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, duration_ms)
}
