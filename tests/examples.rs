//! The short examples run, and print what they promise.

mod support {
    pub(crate) mod example;
}

use support::example::{Example, program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

async fn check(name: &str, expected: &str) {
    let shown = Example::start(&mut Command::new(program(name))).ended().await.success();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn hello() {
    check("hello", "Some(\"HELLO, WORLD\")\n").await;
}

#[tokio::test]
async fn gather() {
    check("gather", "\"every step is an entry in one timeline\": Some(\"timeline\")\n\"\": None\n").await;
}

#[tokio::test]
async fn state() {
    let expected = [
        r#"then: {"laps":3}"#,
        r#"then: {"laps":3,"run":1}"#,
        r#"then: {"laps":3,"run":2}"#,
        r#"then: {"laps":3,"run":3}"#,
        r#"now:  {"laps":3,"run":3}"#,
        "",
    ]
    .join("\n");
    check("state", &expected).await;
}

#[tokio::test]
async fn compensation() {
    check("compensation", "paid 199.00\nseat 12A is free again: the limit of the card\n").await;
}

#[tokio::test]
async fn email() {
    check("email", "250 taken: Welcome, Ada for ada@example.org\n").await;
}

#[tokio::test]
async fn a_worker_runs_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Example::start(Command::new(program("worker")).current_dir(&folder));
    assert_eq!(worker.printed("working on ").await, "sqlite:reports.db");
    worker.interrupt();
    worker.ended().await.success();
}

#[tokio::test]
async fn a_web_server_starts_runs_and_shows_them_live() {
    let folder = tempfile::tempdir().unwrap();
    let web = Example::start(Command::new(program("web")).arg("127.0.0.1:0").current_dir(&folder));
    let address = web.printed("http://").await;

    let post = |body: &str| {
        format!(
            "POST /thumbnails HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let refused = ask(&address, &post(r#"{"path":7}"#)).await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    assert!(refused.contains("at `/path`"), "{refused}");

    let accepted = ask(&address, &post(r#"{"path":"cat.png"}"#)).await;
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    let run = accepted.rsplit("\r\n").next().unwrap();

    // The stream ends with the run.
    let get = format!("GET /runs/{run} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let live = ask(&address, &get).await;
    let expected = ["event: flow.started", "cat.png.small", "event: flow.completed"];
    let places: Vec<_> = expected.iter().map(|text| live.find(text)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{live}");

    web.interrupt();
    web.ended().await.success();
}

/// Sends a request, and reads all that is answered.
async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
