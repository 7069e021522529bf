//! The conformance suite against every store of this crate.

use std::sync::Arc;

use nq_core::conformance::{Subject, TestClock};
use nq_runtime::store::memory::MemoryStore;
use nq_runtime::testing::{Fault, Faulty, Plan};

fn by(clock: &Arc<TestClock>) -> MemoryStore {
    let clock = clock.clone();
    MemoryStore::with_clock(move || clock.now_ms())
}

/// A memory store that goes by the clock of the test.
fn memory() -> Subject {
    let clock = TestClock::new();
    Subject::with_clock(Arc::new(by(&clock)), clock)
}

/// The same, with calls that fail by a plan.
fn faulty(plan: Plan) -> Subject {
    let clock = TestClock::new();
    Subject::with_clock(Arc::new(Faulty::new(by(&clock), plan)), clock).lossy()
}

/// The memory store as programs use it.
fn memory_in_real_time() -> Subject {
    Subject::real(Arc::new(MemoryStore::new()))
}

mod memory_store {
    use super::memory;

    nq_core::conformance! { test = #[tokio::test], subject = memory() }
}

mod memory_store_in_real_time {
    use super::memory_in_real_time;

    nq_core::conformance! { test = #[tokio::test], subject = memory_in_real_time() }
}

mod memory_store_that_loses_every_reply_once {
    use super::{Fault, Plan, faulty};

    nq_core::conformance! { test = #[tokio::test], subject = faulty(Plan::EveryOther(Fault::After)) }
}

mod memory_store_that_goes_wrong_at_random {
    use super::{Plan, faulty};

    nq_core::conformance! {
        test = #[tokio::test],
        subject = faulty(Plan::Random { seed: 4, before: 0.25, after: 0.25 }),
    }
}
