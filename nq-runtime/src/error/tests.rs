//! What an error keeps of those that it is made from, and what it says.

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("while charging")]
struct Wrapped(#[source] BoxError);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Transparent(BoxError);

#[test]
fn fatal_and_retry_after_are_found_beneath_other_errors() {
    let error = Error::from(Wrapped(Error::fatal("no such card").into()));
    assert!(error.is_fatal());
    assert_eq!(error.report(), "while charging: no such card");
    let error = Error::from(Wrapped(Error::retry_after("busy", Duration::from_secs(7)).into()));
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(7)));
    assert!(!error.is_fatal());
}

#[test]
fn who_wraps_an_error_transparently_does_not_hide_that_it_is_fatal() {
    let error = Error::from(Transparent(Error::fatal(Wrapped("no such card".into())).into()));
    assert!(error.is_fatal());
    assert_eq!(error.report(), "while charging: no such card");
    let error = Error::from(Error::fatal("no such card").into_std());
    assert!(error.is_fatal());
    assert_eq!(error.report(), "no such card");
}

#[test]
fn a_report_is_short_however_much_the_error_says() {
    let report = Error::msg("x".repeat(20 * 1024 * 1024)).report();
    assert!(report.len() <= MAX_TEXT_BYTES && report.len() > MAX_TEXT_BYTES / 2, "{}", report.len());
    assert!(report.ends_with(" more bytes)"), "{}", &report[report.len() - 40..]);
    let whole = "x".repeat(MAX_TEXT_BYTES - 1024);
    assert_eq!(Error::msg(whole.clone()).report(), whole);
}

#[test]
fn the_cause_of_an_error_that_says_too_much_is_still_said() {
    #[derive(Debug, thiserror::Error)]
    #[error("{}", "x".repeat(1024 * 1024))]
    struct Loud(#[source] BoxError);
    let report = Error::from(Loud("no such card".into())).report();
    assert!(report.ends_with(" more bytes): no such card"), "{}", &report[report.len() - 60..]);
    assert!(report.len() <= MAX_TEXT_BYTES);
}

#[test]
fn an_error_that_is_its_own_cause_is_looked_at_for_a_while() {
    #[derive(Debug)]
    struct Circle;
    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            static TIMES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            write!(f, "round {:0>100}", TIMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        }
    }
    impl StdError for Circle {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self)
        }
    }
    let report = Error::from(Circle).report();
    assert!(report.len() <= MAX_TEXT_BYTES && report.ends_with('…'), "{}", report.len());
    assert!(!Error::from(Circle).is_fatal() && Error::from(Circle).retry_delay().is_none());
    assert!(Error::from(Circle).downcast_ref::<StepError>().is_none());
    assert!(Error::from(Circle).downcast_ref::<StepError>().is_none());
}

#[test]
fn any_error_converts_and_says_each_thing_once() {
    fn parse() -> Result<u32> {
        Ok("x".parse::<u32>()?)
    }
    assert_eq!(format!("{:?}", parse().unwrap_err()), "invalid digit found in string");
}
