//! The retry arithmetic: how long to wait before the next attempt, and when there is none.

use crate::def::Backoff;

/// How long to wait after the `failures`-th failure (from 1), in milliseconds. `roll` is a random number in
/// `0.0..1.0`: with exponential backoff the delay is anything up to the bound, so that steps which failed
/// together do not come back together.
pub fn delay_ms(backoff: Backoff, failures: u32, roll: f64) -> u64 {
    match backoff {
        Backoff::Fixed { delay_ms } => delay_ms,
        Backoff::Exponential { base_ms, max_ms } => {
            let doublings = failures.saturating_sub(1).min(63);
            let bound = base_ms.saturating_mul(1 << doublings).min(max_ms);
            (bound as f64 * roll.clamp(0.0, 1.0)) as u64
        }
    }
}

/// How many attempts whose input does not fit the code are not counted as failures. With the delays between them they
/// last five to ten minutes, enough for a new version to replace an old one.
pub const UNFIT_ATTEMPTS: u32 = 24;

/// How long to wait, in milliseconds, after an attempt whose input did not fit the code: an instance of another version
/// may run the next one. `before` is how many such attempts the step had so far. None if it had enough of them; then this
/// one is a failure like any other.
pub fn unfit_delay_ms(before: u32, roll: f64) -> Option<u64> {
    let bound_ms = 1_000_u64.saturating_mul(1 << before.min(63)).min(30_000);
    let delay_ms = bound_ms as f64 * (0.5 + roll.clamp(0.0, 1.0) / 2.0);
    (before < UNFIT_ATTEMPTS).then_some(delay_ms as u64)
}

/// Whether another attempt follows the `failures`-th failure.
pub fn retries_left(retries: u32, failures: u32) -> bool {
    failures <= retries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_most() {
        let backoff = Backoff::Exponential { base_ms: 1_000, max_ms: 5_000 };
        let bounds: Vec<_> = (1..=5).map(|failures| delay_ms(backoff, failures, 1.0)).collect();
        assert_eq!(bounds, [1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(delay_ms(backoff, 3, 0.5), 2_000);
        assert_eq!(delay_ms(backoff, u32::MAX, 1.0), 5_000);
        assert_eq!(delay_ms(Backoff::Fixed { delay_ms: 7 }, 9, 0.3), 7);
    }

    #[test]
    fn input_that_does_not_fit_is_tried_for_some_minutes() {
        let total_ms = |roll| (0..).map_while(|before| unfit_delay_ms(before, roll)).sum::<u64>();
        assert_eq!(unfit_delay_ms(0, 0.0), Some(500));
        assert_eq!(unfit_delay_ms(9, 1.0), Some(30_000));
        assert!(total_ms(0.0) >= 5 * 60_000 && total_ms(1.0) <= 11 * 60_000);
    }

    #[test]
    fn no_retries_means_one_attempt() {
        assert!(!retries_left(0, 1));
        assert!(retries_left(1, 1));
        assert!(!retries_left(1, 2));
    }
}
