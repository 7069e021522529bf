//! The sizes that one call may have. A store may rely on them; the engine refuses what passes them, at the
//! place that made it.

/// The largest payload of one event, state value or result, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
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
/// About the most bytes of JSON that one read returns; a larger entry comes by itself.
pub const MAX_READ_BYTES: usize = 8 * 1024 * 1024;
/// The longest that a job is leased which was given to an instance that only offered to take it: it may be gone
/// by then, and the next one is not to wait a whole lease to learn so.
pub const GIVEN_MS: u64 = 3_000;
/// How many state entries call for a snapshot.
pub const SNAPSHOT_STATE_ENTRIES: usize = 200;
/// How many entries of any kind call for a snapshot, where there is state at all.
pub const SNAPSHOT_ENTRIES: u64 = 2_000;
/// The latest moment that every store can hold exactly, in milliseconds since 1970: some keep times as
/// floating-point numbers.
pub const MAX_TIME_MS: u64 = (1 << 53) - 1;

/// The moment so many milliseconds after another, but none that a store could not hold.
pub fn time_ms(now_ms: u64, after_ms: u64) -> u64 {
    now_ms.saturating_add(after_ms).min(MAX_TIME_MS)
}
