//! A value that nobody provided is found at start, not when the step that needs it runs.

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
