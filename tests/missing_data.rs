//! A program that does not provide a value which a worker needs fails at start, not when the step runs.

use nq::prelude::*;

nq::registry!();

#[nq::event]
struct Ping {}

struct Bank;

#[nq::worker(flow = "pay")]
async fn pay(_: Ping, _bank: Data<Bank>) -> nq::Result<()> {
    Ok(())
}

#[tokio::test]
async fn it_names_the_worker_and_the_type() {
    let error = nq::open("memory:").await.unwrap().start().await.unwrap_err().to_string();
    assert!(error.contains("`missing_data::pay`") && error.contains("`missing_data::Bank`"), "{error}");
    assert!(error.contains(".data(…)"), "{error}");
    let nq = nq::open("memory:").await.unwrap().data(Bank).start().await.unwrap();
    nq.start::<pay>(Ping {}).await.unwrap().completed().await.unwrap();
    nq.shutdown().await.unwrap();
}
