//! A program without workers refuses to start, and says why.

nq::registry!();

#[tokio::test]
async fn a_program_with_no_workers_says_what_is_missing() {
    let error = nq::open("memory:").await.unwrap().start().await.unwrap_err().to_string();
    assert!(error.contains("no worker"), "{error}");
    assert!(error.contains("#[nq::worker"), "{error}");
}

#[tokio::test]
async fn a_program_with_no_workers_can_look_at_runs() {
    let client = nq::open("memory:").await.unwrap().client().unwrap();
    assert_eq!(client.runs().all().await.unwrap(), []);
    let error = client.start_json("order", nq::Json::Null).await.unwrap_err().to_string();
    assert!(error.contains("there is no flow `order`"), "{error}");
}

#[tokio::test]
async fn a_store_that_nobody_knows_is_refused_with_those_that_are_known() {
    for url in ["", "orders.db", "postgres://localhost", "sqlite", "sqlite:"] {
        let error = nq::open(url).await.unwrap_err().to_string();
        assert!(error.contains("sqlite:"), "{url}: {error}");
    }
}
