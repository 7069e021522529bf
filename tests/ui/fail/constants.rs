//! Numbers and durations may be constants; what they cannot be is told at the constant. Names stay literals.

use std::time::Duration;

const NONE: u32 = 0;
const MANY: usize = 3;
const NO_TIME: Duration = Duration::from_micros(10);
const AGES: Duration = Duration::MAX;
const LONG: Duration = Duration::from_secs(60);
const SECONDS: u64 = 30;
const FLOW: &str = "order";

#[nq::event]
struct OrderPlaced {}

#[nq::worker(concurrency = NONE, max_crashes = NONE, retries = NONE)]
async fn zero(_order: OrderPlaced) {}

#[nq::worker(retries = MANY, timeout = SECONDS)]
async fn of_another_type(_order: OrderPlaced) {}

#[nq::worker(timeout = NO_TIME, backoff = fixed(AGES))]
async fn too_short_and_too_long(_order: OrderPlaced) {}

#[nq::worker(backoff = exponential(LONG, max = "1s"))]
async fn shrinking(_order: OrderPlaced) {}

#[nq::worker(retries = -1, timeout = [1])]
async fn no_constants(_order: OrderPlaced) {}

#[nq::worker(flow = FLOW)]
async fn name(_order: OrderPlaced) {}

nq::registry!();

fn main() {}
