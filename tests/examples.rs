//! The short examples run, and print what they promise.

mod support {
    #[allow(dead_code, reason = "nothing is killed here")]
    pub(crate) mod example;
}

use support::example::{Example, program};
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
