//! The conformance suite against Redis: a server of its own for each case, with and without partitions, and a
//! cluster.
#![cfg(feature = "redis")]
#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::StreamExt;
use nq_core::conformance::{Stored, Subject, TestClock, run};
use nq_core::store::Store;
use nq_runtime::store::redis::RedisStore;

use support::redis::{EVERY_SECOND, RedisCluster, RedisServer};

async fn open(url: String) -> Arc<dyn Store> {
    Arc::new(RedisStore::open(&url).await.unwrap())
}

async fn server(options: &str) -> Subject {
    let server = Arc::new(RedisServer::start(EVERY_SECOND));
    let url = server.url(options);
    let subject = Subject::real(open(url.clone()).await).reopen(move || open(url.clone()));
    subject.damage(damage(&server)).keep(server)
}

/// Replaces the data of one entry, in the timeline and in the tickets that copy it. An entry of a stream cannot be
/// changed, so the whole stream is written anew.
const OVERWRITE_ENTRY: &str = r"
local run, n, data = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local function again(key, change)
  local entries = redis.call('XRANGE', key, '-', '+')
  redis.call('DEL', key)
  for _, entry in ipairs(entries) do
    change(entry[1], entry[2])
    redis.call('XADD', key, entry[1], unpack(entry[2]))
  end
end
local function damaged(text) return string.match(text, '^%S+ %S+ %S+ ') .. data end
again(redis.call('KEYS', 'nq:*flow:' .. run)[1], function(id, fields)
  local first = tonumber(string.match(id, '-(%d+)$')) - #fields / 2 + 1
  local at = 2 * (n - first) + 2
  if at > 0 and fields[at] then fields[at] = damaged(fields[at]) end
end)
for _, queue in ipairs(redis.call('KEYS', 'nq:*queue:*')) do
  if redis.call('XLEN', queue) > 0 then
    again(queue, function(_, fields)
      if fields[2] == run and string.match(fields[4], '-(%d+)$') == ARGV[2] and fields[6] then
        fields[6] = damaged(fields[6])
      end
    end)
    redis.call('XGROUP', 'CREATE', queue, 'mark', '0')
  end
end
return 'damaged'
";

/// Makes what a record says of a job unreadable, whether it stands in the record of its run or in the hash beside it.
const OVERWRITE_JOB: &str = r"
local run, step = ARGV[1], ARGV[2]
local key = redis.call('KEYS', 'nq:*run:' .. run)[1]
local record = redis.call('GET', key)
local _, to = string.find(record, '\n' .. step .. ' ', 1, true)
if to then
  local rest = string.find(record, '\n', to, true)
  redis.call('SET', key, string.sub(record, 1, to) .. 'q x' .. string.sub(record, rest))
else
  local fields = string.gsub(key, 'run:' .. run .. '$', '') .. 'jobs:' .. run
  if redis.call('HSET', fields, step, 'q x') ~= 0 then return 'it is nowhere' end
end
return 'damaged'
";

/// Overwrites data of a server, as if its memory were damaged.
fn damage(server: &Arc<RedisServer>) -> impl Fn(Stored) + Send + Sync + use<> {
    let server = server.clone();
    move |what| {
        let answer = match what {
            Stored::Entry { run, n, data } => {
                server.command(&["EVAL", OVERWRITE_ENTRY, "0", run.as_str(), &n.to_string(), &data])
            }
            Stored::Job { run, step } => {
                server.command(&["EVAL", OVERWRITE_JOB, "0", run.as_str(), &step.to_string()])
            }
        };
        assert_eq!(answer, "damaged");
    }
}

/// A store that goes by the clock of the test.
async fn by_test_clock() -> Subject {
    let server = Arc::new(RedisServer::start(EVERY_SECOND));
    let clock = TestClock::new();
    let now_ms = {
        let clock = clock.clone();
        move || clock.now_ms()
    };
    let store = RedisStore::open_with_clock(&server.url(""), now_ms).await.unwrap();
    Subject::with_clock(Arc::new(store), clock).damage(damage(&server)).keep(server)
}

/// Makes the future of a case on the heap: all of them do not fit on the stack of a test.
fn boxed<'a, F: Future<Output = ()> + 'a>(case: impl FnOnce() -> F) -> LocalBoxFuture<'a, ()> {
    Box::pin(case())
}

/// Runs every case on one cluster, in a namespace of its own: to start a cluster for each would take too long.
#[tokio::test(flavor = "multi_thread")]
async fn three_node_cluster() {
    let cluster = RedisCluster::start();
    let subject = async |case: &str| {
        let url = cluster.url(&format!("partitions=3&namespace={case}"));
        Subject::real(open(url.clone()).await).reopen(move || open(url.clone()))
    };
    let subject = &subject;
    macro_rules! cases {
        ($($topic:ident { $($case:ident)* })*) => {
            vec![$($(
                boxed(move || async move {
                    let case = concat!(stringify!($topic), "-", stringify!($case));
                    run::$topic::$case(subject(case).await).await;
                }),
            )*)*]
        };
    }
    let cases: Vec<LocalBoxFuture<'_, ()>> = nq_core::__conformance_cases! { [cases] };
    assert!(cases.len() > 120);
    let results = futures_util::stream::iter(cases).map(|case| AssertUnwindSafe(case).catch_unwind());
    let results: Vec<_> = results.buffer_unordered(4).collect().await;
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 0, "what each says stands above");
}

mod one_server {
    use super::server;

    nq_core::conformance! { test = #[tokio::test], subject = server("").await }
}

mod one_server_by_test_clock {
    use super::by_test_clock;

    nq_core::conformance! { test = #[tokio::test], subject = by_test_clock().await }
}

mod partitions {
    use super::server;

    nq_core::conformance! { test = #[tokio::test], subject = server("partitions=4").await }
}
