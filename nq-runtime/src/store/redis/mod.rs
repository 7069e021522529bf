//! `redis://…`: the store that several machines share, on Redis Streams.
//!
//! # The URL
//!
//! | URL | what stands behind it |
//! |---|---|
//! | `redis://[user:password@]host[:port][/db][?options]` | one server; port 6379 and database 0 unless it says otherwise |
//! | `redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db][?options]` | sentinels, port 26379, that know the master of this name |
//! | `redis+cluster://[user:password@]host[:port][,host[:port]…][?options]` | some nodes of a cluster; the others are found by them |
//! | `rediss://`, `rediss+sentinel://`, `rediss+cluster://` | the same with TLS |
//!
//! User and password, the name of the master and the values of options may be percent-encoded; an IPv6 address
//! stands in brackets. Whatever else a URL says is refused when it is opened, and so is an option that is unknown or
//! stands twice.
//!
//! | option | default | what it says |
//! |---|---|---|
//! | `namespace=NAME` | `nq` | what all keys begin with: programs with different ones share a server and nothing else |
//! | `partitions=1…256` | 1, or 16 on a cluster | into how many parts the namespace is divided; fixed by whoever opens it first, and another number is refused |
//! | `durability=relaxed` | yes | a start, an act or an effect is acknowledged as the configuration of the server has it |
//! | `durability=fsync` | | … when it is on the disk of the server |
//! | `durability=replicated` | | … when a replica has it |
//! | `allow_volatile=true` | `false` | a server that forgets, because it evicts keys or keeps nothing on its disk, is accepted |
//! | `tls_ca=FILE` | those of the system | whose certificates are trusted, in PEM form; only with TLS, as the next two |
//! | `tls_cert=FILE`, `tls_key=FILE` | none | the certificate of the client and its key, in PEM form: both or neither |
//!
//! # Keys
//!
//! Every key begins with the namespace, `nq:` unless the URL says otherwise; with partitions, with that of
//! the run's partition, `nq:{3}:`, so that all keys of a partition share a slot of a cluster. The partition
//! of a run is the FNV-1a hash of its id, modulo the number of partitions.
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `flow:<run>` | stream | the timeline. Its entries are packs: what one act writes, in fields `e`, each `<type> <step or -> <attempt or -> <data as JSON>`. The id of a pack is `<ms>-<position of the last>`, and all of them have its moment. That of a rerun is written before its run is there, and expires an hour later if it does not come |
//! | `run:<run>` | string | the record of the run, as below |
//! | `jobs:<run>` | hash | its dead letters and, where it has more than eight unfinished steps, these: what stands behind a step in the record |
//! | `join:<run>` | sorted set | unpaired events of joins, by name: `<worker> <side> <by> <position> <id> <key>` |
//! | `gather:<run> <worker>` | list | the ids of the events that a gather has got |
//! | `backlog:<run>` | list | jobs of a commit with more than 500 of them: `<worker>⇥<spec>⇥<entry> <key>`, their entries counted from the last `#<ms> <n>`; or of a rerun: `+<step>⇥<earlier> <read> <recorded>⇥<spec>⇥<inputs>` |
//! | `backlog` | set | the runs that have one |
//! | `queue:<queue>` | stream | tickets of queued jobs: `r` run, `s` step and, where the input is small, `e` its entry. The group `mark` is made with the stream |
//! | `delayed:`, `dead:<queue>` | sorted set | `<run> <step>` by due time, by time of death |
//! | `lane:<instance>` | hash | of its last turn the number `n`, the moment `at`, and the answers `a` and `r`; `s` the number of the last turn whose second part came; and buckets, the jobs that it has leased: `<turn>` is a deadline and a line `<run> <step> <fence> <ticket>` for each job of this turn, `<turn>:left` how many are not over |
//! | `leases` | sorted set | instances by when to look at their buckets |
//! | `queues`, `flows`, `paused` | set | names |
//! | `served` | hash | queues, and until when somebody takes jobs from them |
//! | `resumed` | stream | queues that were resumed, for those who wait |
//! | `runs:<status>:<flow>` | sorted set | runs by start, in µs |
//! | `finished:completed`, `finished:failed` | sorted set | `<run> <flow> <status>` by the moment of its end, for the retention |
//! | `ending` | hash | runs that have ended and still have jobs to drop: where the next tick goes on |
//! | `ended` | stream | what one call has ended: `r` a run, as often as there are; the last thousand or so, for those who wait for one |
//! | `offer:<instance>` | string | while it waits for a job: `<number> <lease in ms> <data of flow.step.started>`; then `given <run> <step>`, until its next turn |
//! | `offers:<queue>` | list | the instances that wait for a job of it, the first first; some have gone on since |
//! | `given:<instance>` | list | the job that an offer has brought, until it is read: its number, and the lease as a turn replies it |
//! | `meta` | hash | `version`, `partitions`, `epoch`; of the last tick `tick`, `spared`, `sweep` |
//!
//! The record of a run is a head, then a line for each gather and each unfinished job:
//!
//! ```text
//! <ms> <n> <pending> <status>[s] <flow> <started in µs>[ <name>=<value>]…
//! ⇥<rank> <count> <fired> <worker>[ <name>=<value>]…⇥<spec>
//! <step> <state> <fence> <earlier> <failures> <crashes> <read> <recorded> <at> <who>[ <name>=<value>]…⇥<spec>⇥<inputs>
//! ```
//!
//! `<ms>-<n>` is its last id, and `<pending>` counts its unfinished steps. The status is `r`unning, `c`ompleted, `f`ailed,
//! cancelled (`x`) or stalled (`t`), with an `s` where its jobs are in `jobs:<run>`. By name the head has `ended` (ms),
//! `joins=1` and `gathered=<worker>` for each key above that the run has, and what only some runs have. The state of a
//! job is `q`ueued (`at` is its ticket), `l`eased (until; `who` is `<instance>#<bucket>`), `g`iven by an
//! offer and not heard of since (as leased), `d`elayed (until) or dead, `x` (since; its error follows as JSON behind another
//! tab). A spec is `<max crashes> <f|c> <queue>[ hold=<gather>]…[ <name>=<value>]…`, `f` where its failure fails the run;
//! inputs are `<id> <key>`. So `redis-cli GET nq:run:<run>` shows where a run stands:
//!
//! ```text
//! 1764108000123 6 1 r order 1764108000102045
//! ship@1764108000123-4 l 1 0 0 0 5 0 1764108030123 shop-1#42⇥5 f order/ship⇥1764108000123-4 paid
//! ```
//!
//! The record decides; tickets, indexes and buckets are hints, which the tick repairs. What only some records have is named;
//! a version that does not know a name keeps it. `version` counts the formats: a namespace of another one is refused.
//!
//! The keys of a run are made by its start and removed together by the tick when its retention is over: a namespace that
//! no instance serves keeps its ended runs until one does. The lane of an instance that died goes a week after its last turn.
//!
//! # Where the time goes
//!
//! A turn reads and writes the record of each run once, whatever it does to it, and appends to its timeline once. A job whose
//! queue is empty is leased where it is made, so that it needs no ticket, and its input is not sent back to the instance
//! that has just brought it. What all runs share (indexes, the lane, who has ended) is written once at the end of the call.
//! `cargo bench --bench redis` shows what a run costs the server.
//!
//! # Functions
//!
//! What must be atomic is a function of a library, which is loaded into the server when it does not know it, and is
//! kept there with the data: `FUNCTION LIST` shows it as `nq_` and a digest of its text. So two versions of nq go on
//! beside each other; the library of a version that is gone can be removed with `FUNCTION DELETE`. The user of the
//! URL needs `FCALL` and `FUNCTION LOAD` beside the commands that read and write the keys above.
//!
//! # An instance that waits
//!
//! With one partition, a start gives its job to an instance that has nothing to do, if there is one. Should that
//! have died within the last second, the job goes to another after [`GIVEN_MS`](nq_core::limits::GIVEN_MS), and
//! not only after a lease. This counts as no crash of the job.
//!
//! # What an acknowledged start may lose
//!
//! | configuration | the process dies | the machine dies | the machine is lost, a replica takes over |
//! |---|---|---|---|
//! | `appendonly yes`, `appendfsync always` | nothing | nothing | what the replica had not got |
//! | `appendonly yes`, `appendfsync everysec` | up to two seconds | up to two seconds | what the replica had not got |
//! | … and `durability=fsync` (`always`, or Redis 7.2 for `WAITAOF`) | nothing | nothing | what the replica had not got |
//! | … and `durability=replicated` | up to two seconds | up to two seconds | nothing, if the replica that confirmed takes over |
//! | no `appendonly` (only with `allow_volatile=true`) | everything since the last snapshot | the same | what the replica had not got |
//!
//! `durability` covers starts, acts and effects: what someone outside was told. The commits of steps come back
//! with what they followed from, since a server that loses loses its tail: a step then runs again, with the
//! same idempotency key. That it lost something is noticed, and said, by every instance that still lives.
//!
//! # Memory
//!
//! `maxmemory-policy noeviction` is required: any other throws runs away. When the memory is full, starts
//! and turns fail as if the server were away, and go on when there is room. The retention of finished runs makes
//! room also then, and an instance may stop.
//!
//! # A node of a cluster that is away
//!
//! Steps of runs that are on other nodes go on; what those on the node that is away have finished waits for it, with
//! everything else of them. A run that is started without an id of its own begins on another node; one with an id
//! that belongs to the node is refused, and may be started again later. Redis itself gives up the whole cluster with
//! any of its slots unless it has `cluster-require-full-coverage no`. Lists of runs, queues and jobs need every node.
//!
//! # A server that is set back
//!
//! A server that comes back with an older state, from a backup or after a failover that lost what was acknowledged,
//! has lost work. Instances that had turns in what is lost stop with an error, and so does everyone who follows a
//! timeline and has seen more of it ([`ErrorKind::Lost`]); nobody waits for entries
//! that take the places of others.

mod acts;
mod codec;
mod errors;
mod fork;
mod home;
mod jobs;
mod keys;
mod lanes;
mod lasting;
mod lease;
mod library;
mod link;
mod open;
mod options;
mod partition;
mod read;
mod reader;
mod reply;
mod runs;
mod tick;
mod turn;
mod wait;
mod waiting;
mod writes;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use nq_core::entry::Entry;
use nq_core::id::{InstanceId, QueueName, RunId};
use nq_core::record::RunRecord;
use nq_core::store::{
    Acted, ErrorKind, Gathered, Interest, JobSummary, JobsQuery, Offer, Queries, QueueCounts, Read, RunsPage,
    RunsQuery, StartAnswer, Started, Store, StoreError, Take, Tick, Ticked, TurnReply,
};
use nq_core::transaction::{Act, LogLine, Start, Turn};
use tokio::task::JoinHandle;

use self::home::Home;
use self::lanes::Lanes;
use self::options::Options;
use self::partition::Partition;
use self::waiting::Waiting;
use super::hints::Hints;

/// A tick that goes on by itself.
type Ticking = JoinHandle<Result<Ticked, StoreError>>;

/// A store on a Redis server, behind sentinels, or on a cluster.
pub struct RedisStore {
    options: Options,
    /// Whether the server syncs every write to its disk anyway.
    always: bool,
    partitions: Vec<Partition>,
    hints: Arc<Hints>,
    waiting: Waiting,
    /// The number of the last offer that an instance made by this store.
    offers: AtomicU64,
    /// Held by a turn that comes in two parts: what became of the parts before.
    turning: tokio::sync::Mutex<Lanes>,
    /// The ticks of partitions that did not answer one, and are not waited for until they do.
    ticking: tokio::sync::Mutex<HashMap<usize, Ticking>>,
    /// Where connections live that outlast a call. Ends with the store.
    _home: Home,
}

impl RedisStore {
    fn partition_index(&self, run: &RunId) -> usize {
        keys::partition_of(run, self.partitions.len())
    }

    /// Whether an offer of an instance is more than a wait. Where there are partitions, each would take it.
    fn takes_offers(&self) -> bool {
        self.partitions.len() == 1
    }

    /// An error that says which store it was.
    fn named(&self, error: StoreError) -> StoreError {
        error.of(&self.options.shown)
    }

    fn partition(&self, run: &RunId) -> &Partition {
        &self.partitions[self.partition_index(run)]
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("namespace", &self.options.namespace).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let mut reply = self.take_turn(turn).await.map_err(|error| self.named(error))?;
        // A turn that its lane refuses begins nothing. What begins is leased by the next one.
        let begun = turn.starts.iter().map(|start| self.begin(start));
        let begun = futures_util::future::join_all(begun).await;
        reply.started = begun.into_iter().map(start_answer).collect();
        Ok(reply)
    }

    fn starts_with_turns(&self) -> bool {
        false
    }

    async fn start(&self, start: &Start) -> Result<Started, StoreError> {
        self.begin(start).await.map_err(|error| self.named(error))
    }

    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        self.act_on(run, act).await.map_err(|error| self.named(error))
    }

    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        self.append_lines(run, lines).await.map_err(|error| self.named(error))
    }

    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError> {
        self.wait_for(interest, timeout).await.map_err(|error| self.named(error))
    }

    async fn offer(&self, offer: &Offer, take: &Take, timeout: Duration) -> Result<(), StoreError> {
        self.take_offer(offer, take, timeout).await.map_err(|error| self.named(error))
    }

    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        self.tick_all(tick).await.map_err(|error| self.named(error))
    }

    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError> {
        self.forget_instance(instance).await.map_err(|error| self.named(error))
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        self.pause_queue(queue, paused).await.map_err(|error| self.named(error))
    }
}

#[async_trait]
impl Queries for RedisStore {
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        self.read_entries(read).await.map_err(|error| self.named(error))
    }

    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        self.read_gathered(gathered).await.map_err(|error| self.named(error))
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.summary(run).await.map_err(|error| self.named(error))
    }

    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        self.list_runs(query).await.map_err(|error| self.named(error))
    }

    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.count_queues().await.map_err(|error| self.named(error))
    }

    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.list_jobs(query).await.map_err(|error| self.named(error))
    }
}

/// What a turn is told of a start.
fn start_answer(begun: Result<Started, StoreError>) -> StartAnswer {
    match begun {
        Ok(started) => StartAnswer::Started(started),
        Err(error) if error.kind() == ErrorKind::Conflict => StartAnswer::IdTaken,
        Err(error) if error.is_unsent() => StartAnswer::Unsent,
        Err(_) => StartAnswer::Later,
    }
}
