//! Files of older formats, and what a newer version has written into one of this.

use super::*;

/// `a` has emitted for `b`, whose job is queued and holds the gather `g`; another run has a dead letter.
const FORMAT_1: &str = include_str!("formats/1.sql");

/// A transaction that goes on, and one that is retried at once.
fn writes(lease: &Lease, outcome: Outcome) -> Transaction {
    let tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    Transaction { outcome, recorded: 1, ..tx }
}

#[tokio::test]
async fn a_file_of_format_1_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    shell(folder.path()).execute_batch(FORMAT_1).unwrap();
    let store = open(folder.path()).await;
    let mut one = Peer::new("new");
    let lease = one.lease(&store, "b", 10).await.remove(0);
    assert_eq!((lease.run.as_str(), lease.attempt, lease.inputs[0].payload.as_str()), ("r", 1, Some("r")));
    assert!(matches!(one.write(&store, done(&lease)).await, Answer::Committed { .. }));
    let gather = one.lease(&store, "g", 10).await.remove(0);
    assert_eq!(gather.step.worker().as_str(), "g");
    let dead = store.jobs(&JobsQuery { dead: true, ..JobsQuery::default() }).await.unwrap();
    assert_eq!((dead[0].run.as_str(), dead[0].attempt), ("dead", 1));
    drop(store);
    let version: i64 = shell(folder.path()).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::FORMAT);
    // The tables are those of a new file.
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path()).await);
    assert_eq!(columns(folder.path()), columns(other.path()));
}

/// The columns of each table.
fn columns(folder: &Path) -> Vec<String> {
    let shell = shell(folder);
    let sql = "SELECT t.name || '.' || c.name || ' ' || c.type FROM pragma_table_list t, pragma_table_info(t.name) c \
               WHERE t.schema = 'main' ORDER BY 1";
    let mut statement = shell.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_a_newer_version_has_written_stays() {
    const FIELDS: &str = r#"{"priority":7,"labels":{"team":"a b"}}"#;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut start = begin("r");
    start.job.holds = vec![Name::new("g").unwrap()];
    start.gathers = vec![nq_core::transaction::GatherSpec { spec: job("g"), rank: 0 }];
    store.start(&start).await.unwrap();
    drop(store);
    shell(folder.path())
        .execute_batch(&format!(
            "UPDATE runs SET more = '{FIELDS}'; UPDATE jobs SET more = '{FIELDS}'; UPDATE gathers SET more = '{FIELDS}';
             UPDATE specs SET spec = json_patch(spec, '{FIELDS}')"
        ))
        .unwrap();

    let store = open(folder.path()).await;
    assert_eq!(store.run(&start.run).await.unwrap().unwrap().more.get("priority"), Some(7));
    let mut one = Peer::new("one");
    let lease = one.lease(&store, "a", 1).await.remove(0);
    one.write(&store, writes(&lease, Outcome::Continue)).await;
    one.write(&store, writes(&lease, Outcome::Retry { delay_ms: 0 })).await;
    let lease = one.lease(&store, "a", 1).await.remove(0);
    one.write(&store, writes(&lease, Outcome::Fail { error: "no".into() })).await;
    let kept = |table: &str| -> Vec<String> {
        let sql = format!("SELECT more FROM {table}");
        let shell = shell(folder.path());
        let mut statement = shell.prepare(&sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for table in ["runs", "jobs", "gathers"] {
        let kept: Vec<serde_json::Value> =
            kept(table).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(kept, [serde_json::from_str::<serde_json::Value>(FIELDS).unwrap()], "{table}");
    }
    let specs: String = shell(folder.path())
        .query_row("SELECT s.spec FROM specs s JOIN jobs j ON j.spec = s.key", [], |row| row.get(0))
        .unwrap();
    assert!(specs.contains(r#""priority":7"#), "{specs}");
}

#[tokio::test]
async fn two_that_open_an_older_file_at_once_both_have_it() {
    let folder = tempfile::tempdir().unwrap();
    shell(folder.path()).execute_batch(FORMAT_1).unwrap();
    let opening = (0..4).map(|_| open(folder.path()));
    for store in futures_util::future::join_all(opening).await {
        assert!(store.run(&run_id("r")).await.unwrap().is_some());
    }
}
