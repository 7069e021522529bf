//! A program that is asked for its registry writes it, and opens nothing. This test runs itself as that program.

use std::path::Path;
use std::process::{Command, Output};

use nq::prelude::*;
use nq_core::export::{JSON_SCHEMA, RegistryDocument, check, mermaid};
use serde_json::{Value, json};

#[nq::event]
struct OrderPlaced {
    items: Vec<Item>,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Item {
    name: String,
    grams: Option<u32>,
}

#[nq::event]
struct ItemPacked {
    order: u64,
}

#[nq::event]
struct OrderPacked {
    order: u64,
}

#[nq::event]
struct OrderPaid {
    order: u64,
}

#[nq::worker(flow = "order", emits = [ItemPacked, OrderPaid], timeout = "30s")]
async fn place(order: OrderPlaced, ctx: Ctx<place>) -> nq::Result<()> {
    for order in 0..order.items.len() as u64 {
        ctx.emit(ItemPacked { order })?;
    }
    ctx.emit(OrderPaid { order: 1 })?;
    Ok(())
}

#[nq::worker(flow = "order", gathers = [ItemPacked], emits = [OrderPacked], backoff = fixed("2s"), timeout = "1m")]
async fn pack(items: Vec<ItemPacked>, ctx: Ctx<pack>) -> nq::Result<()> {
    ctx.emit(OrderPacked { order: items.len() as u64 })?;
    Ok(())
}

#[nq::worker(flow = "order", joins = [OrderPacked, OrderPaid], by = "order", emits = ["order.sent"], timeout = "1m")]
async fn ship(_both: (OrderPacked, OrderPaid)) {}

#[nq::worker(flow = "order", subscribes = ["order.sent"], queue = "mail", concurrency = 2, retries = 9)]
async fn thank(_sent: nq::Json) {}

nq::registry!();

/// The program. As a test of its own it opens a store like any other.
#[tokio::test]
async fn program() {
    let folder = tempfile::tempdir().unwrap();
    let default = folder.path().join("default.db");
    let path = std::env::var_os("STORE").map_or(default, Into::into);
    drop(nq::open(&format!("sqlite:{}", path.display())).await.unwrap());
    assert!(path.exists());
}

/// Runs the program so that it answers into this file.
fn ask(file: &Path, store: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "program"]).env("NQ_REGISTRY", file).env("STORE", store);
    command.output().unwrap()
}

#[test]
fn a_program_that_is_asked_answers_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (folder.path().join("registry.json"), folder.path().join("store.db"));
    let output = ask(&file, &store);
    assert!(output.status.success(), "{output:?}");
    assert!(!store.exists());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["registry.json"]);

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(ask(&file, &store).status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "it answers the same each time");

    let json: Value = serde_json::from_str(&text).unwrap();
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let errors: Vec<_> = jsonschema::draft202012::new(&schema)
        .unwrap()
        .iter_errors(&json)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new());

    assert_eq!(json["version"], 1);
    assert_eq!(json["flows"]["order"]["entry"]["workerId"], "registry::place");
    assert_eq!(json["flows"]["order"]["steps"]["thank"]["queue"], "order/thank");
    assert_eq!(
        json["eventIndex"]["order.packed"],
        json!([{ "flowId": "order", "step": "ship", "queue": "order/ship", "workerId": "registry::ship", "as": "joins" }])
    );
    assert_eq!(json["events"]["order.sent"], json!({ "schema": true }));
    assert_eq!(json["events"]["order.placed"]["type"], "registry::OrderPlaced");
    let item = &json["events"]["order.placed"]["schema"]["$defs"]["Item"];
    assert_eq!(item["required"], json!(["name"]));
    let thank = json["workers"].as_array().unwrap().iter().find(|worker| worker["name"] == "thank").unwrap();
    assert_eq!(thank["file"], "tests/registry.rs");
    assert_eq!(
        json!([thank["queue"], thank["concurrency"], thank["retries"], thank["timeoutMs"]]),
        json!(["mail", 2, 9, null])
    );

    let document = RegistryDocument::parse(&text).unwrap();
    assert!(mermaid(&document).contains("order_pack -.->|\"order.packed\"| order_ship"));
    let found: Vec<_> = check(&document).into_iter().map(|found| (found.rule, found.worker_id)).collect();
    assert_eq!(found, [("no-timeout", "registry::thank".to_owned())]);
}

#[test]
fn a_program_that_cannot_answer_says_so_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.db");
    let output = ask(&folder.path().join("no/such/folder"), &store);
    assert_eq!(output.status.code(), Some(1));
    assert!(!store.exists());
}
