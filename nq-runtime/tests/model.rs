//! The model test: one random sequence of operations happens to two stores, and whatever can be seen of them
//! is the same after each. What fails is shrunk to the few operations that matter.
//!
//! The sequences are the same in every run. To try others, set `PROPTEST_RNG_SEED`; to try more,
//! `PROPTEST_CASES`.

use std::sync::Arc;

use nq_core::conformance::TestClock;
use nq_core::store::Store;
use nq_runtime::store::faulty::{Fault, Faulty, Plan};
use nq_runtime::store::memory::MemoryStore;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use self::model::ops::{Op, sequence};
use self::model::world::World;

mod model {
    //! The operations, and the stores that they happen to.

    pub(crate) mod ops;
    pub(crate) mod world;
}

/// Lets the same happen to both, and compares.
async fn compare(mut first: World, mut second: World, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        let (left, right) = (first.apply(op).await, second.apply(op).await);
        prop_assert_eq!(left, right, "after {:?}", op);
    }
    let (left, right) = (first.dump().await, second.dump().await);
    let differ = left.iter().zip(&right).find(|(left, right)| left != right);
    prop_assert!(differ.is_none() && left.len() == right.len(), "they differ at {:#?}", differ);
    Ok(())
}

/// Compares over many sequences. Both stores are made anew for each, and share its clock.
fn check<F>(cases: u32, length: usize, worlds: impl Fn(Arc<TestClock>, Arc<TestClock>) -> F)
where
    F: Future<Output = (World, World)>,
{
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(7);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = TestRunner::new(config).run(&sequence(length), |ops| {
        runtime.block_on(async {
            let (first, second) = worlds(TestClock::new(), TestClock::new()).await;
            compare(first, second, &ops).await
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn memory(clock: &Arc<TestClock>) -> MemoryStore {
    let clock = clock.clone();
    MemoryStore::with_clock(move || clock.now_ms())
}

fn world(store: impl Store, clock: Arc<TestClock>) -> World {
    World::new(Arc::new(store), clock, false)
}

fn lossy(store: impl Store, clock: Arc<TestClock>) -> World {
    World::new(Arc::new(store), clock, true)
}

#[test]
fn the_same_happens_twice_alike() {
    check(100, 100, async |first, second| (world(memory(&first), first), world(memory(&second), second)));
}

#[test]
fn a_store_that_loses_every_reply_once_ends_like_one_that_loses_none() {
    check(150, 100, async |first, second| {
        let healthy = Faulty::new(memory(&first), Plan::Healthy);
        let faulty = Faulty::new(memory(&second), Plan::EveryOther(Fault::After));
        (lossy(healthy, first), lossy(faulty, second))
    });
}

#[test]
fn a_store_that_goes_wrong_at_random_ends_like_one_that_does_not() {
    check(150, 100, async |first, second| {
        let healthy = Faulty::new(memory(&first), Plan::Healthy);
        let faulty = Faulty::new(memory(&second), Plan::Random { seed: 11, before: 0.2, after: 0.2 });
        (lossy(healthy, first), lossy(faulty, second))
    });
}
