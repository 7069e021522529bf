//! The conformance suite against every store of this crate.

use std::sync::Arc;

use nq_core::conformance::{Subject, TestClock};
use nq_runtime::store::memory::MemoryStore;

/// A memory store that goes by the clock of the test.
fn memory() -> Subject {
    let clock = TestClock::new();
    let store = {
        let clock = clock.clone();
        MemoryStore::with_clock(move || clock.now_ms())
    };
    Subject::with_clock(Arc::new(store), clock)
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
