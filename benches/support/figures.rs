//! How the benchmarks sum up what they measured.
#![allow(dead_code, reason = "each benchmark uses the part that it needs")]

use std::time::Duration;

/// The middle of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The value that a part of the measurements does not pass, in microseconds.
pub(crate) fn percentile_us(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() - 1) as f64 * part) as usize;
    times[at].as_secs_f64() * 1e6
}
