//! Turns that do much at once: what is damaged of one run changes nothing of it and all of the others, nobody is overtaken,
//! and what it costs.

use nq_core::store::{Answer, Queries, Store};
use nq_core::transaction::{Outcome, Transaction};
use serde_json::json;

use super::flow::{Peer, done, open, queue, run_id, start};
use super::server::{EVERY_SECOND, RedisServer};

const RUNS: usize = 50;

/// The records whose count of unfinished steps is another than that of the jobs which are there.
const MISCOUNTED: &str = r"
local wrong = {}
for _, key in ipairs(redis.call('KEYS', 'nq:run:*')) do
  local record, run = redis.call('GET', key), string.sub(key, 8)
  local pending, jobs = tonumber(string.match(record, '^%d+ %d+ (%d+)')), 0
  for _ in string.gmatch(record, '\n[^\t\n]') do jobs = jobs + 1 end
  for _, line in ipairs(redis.call('HVALS', 'nq:jobs:' .. run)) do
    if not string.find(line, '^x ') then jobs = jobs + 1 end
  end
  for _, line in ipairs(redis.call('LRANGE', 'nq:backlog:' .. run, 0, -1)) do
    if not string.find(line, '^#') then jobs = jobs + 1 end
  end
  if jobs ~= pending then wrong[#wrong + 1] = run .. ' counts ' .. pending .. ', has ' .. jobs end
end
return table.concat(wrong, '; ')
";

fn all_counts_agree(server: &RedisServer) {
    assert_eq!(server.command(&["EVAL", MISCOUNTED, "0"]), "");
}

#[tokio::test]
async fn what_is_damaged_of_one_run_in_fifty_changes_nothing_of_it_and_all_of_the_others() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    for run in 0..RUNS {
        store.start(&start(&format!("r{run}"), json!(run))).await.unwrap();
    }
    let mut one = Peer::new("one");
    let leases = one.turn(&store, Vec::new(), &[("a", RUNS as u32)]).await.leases;
    let bad = leases[17].run.clone();
    server.command(&["XADD", &format!("nq:flow:{bad}"), "99999999999999-9", "e", "x - - {}"]);
    let record = server.command(&["GET", &format!("nq:run:{bad}")]);
    // Two writes of each run, far from each other.
    let goes_on = |at: usize| {
        let mut tx = done(&leases[at], Some("b"));
        tx.entries.pop();
        Transaction { outcome: Outcome::Continue, ..tx }
    };
    let writes = (0..RUNS).map(goes_on).chain(leases.iter().map(|lease| done(lease, Some("c"))));
    let reply = one.turn(&store, writes.collect(), &[("b", 99), ("c", 99)]).await;
    for (at, answer) in reply.answers.iter().enumerate() {
        assert_eq!(matches!(answer, Answer::Committed { .. }), at % RUNS != 17, "{at}: {answer:?}");
    }
    assert_eq!(server.command(&["GET", &format!("nq:run:{bad}")]), record);
    assert_eq!(reply.leases.len(), 2 * (RUNS - 1));
    let places: Vec<_> = leases.iter().map(|lease| &lease.run).filter(|run| **run != bad).collect();
    for (worker, some) in ["b", "c"].into_iter().zip(reply.leases.chunks(RUNS - 1)) {
        assert!(some.iter().all(|lease| lease.queue == queue(worker)));
        assert_eq!(some.iter().map(|lease| &lease.run).collect::<Vec<_>>(), places);
    }
    all_counts_agree(&server);
    one.turn(&store, reply.leases.iter().map(|lease| done(lease, None)).collect(), &[]).await;
    all_counts_agree(&server);
    for run in places {
        assert!(store.run(run).await.unwrap().unwrap().status.is_terminal());
    }
}

#[tokio::test]
async fn what_a_write_makes_overtakes_nothing_that_comes_back_in_the_same_turn() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    for run in ["back", "new"] {
        store.start(&start(run, json!(1))).await.unwrap();
    }
    let mut one = Peer::new("one");
    let a = one.turn(&store, Vec::new(), &[("a", 2)]).await.leases;
    let b = one.turn(&store, vec![done(&a[0], Some("b"))], &[("b", 1)]).await.leases.remove(0);
    let release = Transaction::new(b.run.clone(), b.step.clone(), b.fence, b.attempt);
    let release = Transaction { outcome: Outcome::Release, ..release };
    let leases = one.turn(&store, vec![release, done(&a[1], Some("b"))], &[("b", 1)]).await.leases;
    assert_eq!(leases.iter().map(|lease| lease.run.as_str()).collect::<Vec<_>>(), ["back"]);
    all_counts_agree(&server);
}

#[tokio::test]
async fn a_bucket_goes_with_the_last_of_its_jobs() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut one = Peer::new("one");
    for run in 0..3 {
        store.start(&start(&format!("r{run}"), json!(run))).await.unwrap();
    }
    let leases = one.turn(&store, Vec::new(), &[("a", 3)]).await.leases;
    let fields = || server.command(&["HKEYS", "nq:lane:one"]).lines().any(|field| field == "1");
    for (at, lease) in leases.iter().enumerate() {
        assert!(fields(), "after {at}");
        one.turn(&store, vec![done(lease, None)], &[]).await;
    }
    assert!(!fields());
    store.leave(&one.id).await.unwrap();
    assert_eq!(server.command(&["EXISTS", "nq:lane:one", "nq:leases"]), "0");
}

#[tokio::test]
async fn a_run_of_three_steps_takes_few_commands() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut one = Peer::new("one");
    let wants = [("a", 99), ("b", 99), ("c", 99)];
    one.turn(&store, Vec::new(), &wants).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    for run in 0..RUNS {
        store.start(&start(&format!("r{run}"), json!(run))).await.unwrap();
    }
    let mut writes = Vec::new();
    for next in [Some("b"), Some("c"), None] {
        let leases = one.turn(&store, writes, &wants).await.leases;
        assert_eq!(leases.len(), RUNS);
        writes = leases.iter().map(|lease| done(lease, next)).collect();
    }
    one.turn(&store, writes, &wants).await;
    assert!(store.run(&run_id("r7")).await.unwrap().unwrap().status.is_terminal());
    let stats = server.command(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    let calls: usize = calls.map(|calls| calls.parse::<usize>().unwrap()).sum();
    // Nine to begin, three for its first lease, three for each step that ends; and what all of a turn share.
    assert!(calls < 23 * RUNS, "{calls} commands for {RUNS} runs");
}
