//! The model test: one random sequence of operations happens to two stores, and whatever can be seen of them
//! is the same after each of them. What fails is shrunk to the few operations that matter.
//!
//! The sequences are the same in every run, and the same for every store. Each has a seed, which a failure names:
//! `PROPTEST_RNG_SEED` is the first seed to try, `PROPTEST_CASES` how many are tried from there.

use std::sync::Arc;

use nq_core::conformance::TestClock;
use nq_runtime::store::memory::MemoryStore;
use nq_runtime::testing::{Fault, Faulty, Plan};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use self::model::ops::{Op, sequence};
use self::model::world::World;

#[cfg(feature = "redis")]
mod support;

mod model {
    //! The operations, and the stores that they happen to.

    mod flow;
    pub(crate) mod ops;
    mod rerun;
    mod seen;
    mod told;
    pub(crate) mod world;
}

/// Lets the same happen to both, and compares.
async fn compare(mut first: World, mut second: World, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        let (left, right) = (first.apply(op).await, second.apply(op).await);
        prop_assert_eq!(left, right, "after {:?}", op);
        let (left, right) = (first.dump().await, second.dump().await);
        for at in 0..left.len().max(right.len()) {
            prop_assert_eq!(left.get(at), right.get(at), "in line {} of what there is after {:?}", at, op);
        }
    }
    Ok(())
}

/// Compares over so many sequences. Both stores are made anew for each.
fn check(cases: u64, worlds: impl AsyncFn() -> (World, World)) {
    let given = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let first = given("PROPTEST_RNG_SEED").unwrap_or(7);
    let cases = given("PROPTEST_CASES").unwrap_or(cases);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in first..first + cases {
        let config = ProptestConfig {
            cases: 1,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let outcome = TestRunner::new(config).run(&sequence(100), |ops| {
            runtime.block_on(async {
                let (first, second) = worlds().await;
                compare(first, second, &ops).await
            })
        });
        if let Err(error) = outcome {
            panic!("{error}\nPROPTEST_RNG_SEED={seed} PROPTEST_CASES=1 plays this again");
        }
    }
}

fn by(clock: &Arc<TestClock>) -> MemoryStore {
    let clock = clock.clone();
    MemoryStore::with_clock(move || clock.now_ms())
}

/// The memory store, which the others are compared with.
fn memory() -> World {
    let clock = TestClock::new();
    World::new(Arc::new(by(&clock)), Some(clock), false)
}

/// The memory store going wrong by a plan.
fn faulty(plan: Plan) -> World {
    let clock = TestClock::new();
    World::new(Arc::new(Faulty::new(by(&clock), plan)), Some(clock), true)
}

#[test]
fn the_same_happens_twice_alike() {
    check(40, async || (memory(), memory()));
}

#[test]
fn a_store_that_loses_every_reply_once_ends_like_one_that_loses_none() {
    check(60, async || (faulty(Plan::Healthy), faulty(Plan::EveryOther(Fault::After))));
}

#[test]
fn a_store_that_goes_wrong_at_random_ends_like_one_that_does_not() {
    let random = Plan::Random { seed: 11, before: 0.2, after: 0.2 };
    check(60, async || (faulty(Plan::Healthy), faulty(random.clone())));
}

#[cfg(feature = "sqlite")]
#[test]
fn the_embedded_store_is_like_memory() {
    use nq_runtime::store::sqlite::{SqliteOptions, SqliteStore};

    check(25, async || {
        let (clock, folder) = (TestClock::new(), tempfile::tempdir().unwrap());
        let options = SqliteOptions { path: folder.path().join("nq.db") };
        let store = {
            let clock = clock.clone();
            SqliteStore::with_clock(options, move || clock.now_ms()).await.unwrap()
        };
        (memory(), World::new(Arc::new(store), Some(clock), false).keep(folder))
    });
}

#[cfg(feature = "redis")]
#[test]
fn redis_is_like_memory() {
    use std::sync::atomic::{AtomicU32, Ordering};

    use nq_runtime::store::redis::RedisStore;

    let server = support::redis::RedisServer::start(support::redis::EVERY_SECOND);
    let count = AtomicU32::new(0);
    check(25, async || {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let (url, clock) = (server.url(&format!("namespace=model{count}")), TestClock::new());
        let store = {
            let clock = clock.clone();
            RedisStore::open_with_clock(&url, move || clock.now_ms()).await.unwrap()
        };
        (memory(), World::new(Arc::new(store), Some(clock), false))
    });
}
