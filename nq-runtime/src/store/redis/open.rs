//! Opening: what the server must be and how it must be set up, before anything is entrusted to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};
use tokio::runtime::Handle;

use super::RedisStore;
use super::errors::{garbled, store_error};
use super::home::Home;
use super::keys::{prefix, slot};
use super::link::Link;
use super::options::{Durability, Options, Topology};
use super::partition::{Clock, Partition};
use super::reader::BLOCK;
use super::reply::{Reply, text};
use super::waiting::{Links, Waiting};
use crate::store::hints::Hints;

const OP: &str = "open";
/// The format of keys and records that this version writes and reads.
const FORMAT: &str = "3";
/// How long a call may take. One that takes longer is unknown.
const ANSWER: Duration = Duration::from_secs(5);
impl RedisStore {
    /// Opens the store that a URL names, as [the module](super) describes it.
    ///
    /// Jobs that are given to an instance are read on the runtime that this is called on: that of its workers.
    ///
    /// Refused with [`ErrorKind::Config`] if the URL says what is not known, or says nothing of a cluster or of
    /// sentinels that stand there; if the server is older than 7.0, evicts keys, or keeps nothing.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, None).await
    }

    /// Opens the store that a URL names, which then goes by this clock. For tests.
    pub async fn open_with_clock(
        url: &str,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_with(url, Some(Arc::new(clock))).await
    }

    async fn open_with(url: &str, clock: Option<Clock>) -> Result<Self, StoreError> {
        let options = Options::parse(url)?;
        let shown = options.shown.clone();
        Self::open_as(options, clock).await.map_err(|error| error.of(&shown))
    }

    async fn open_as(options: Options, clock: Option<Clock>) -> Result<Self, StoreError> {
        let home = Home::new()?;
        let said = Arc::new(AtomicBool::new(false));
        let link = |slot, timeout, home: Option<Handle>| {
            Link::new(options.clone(), slot, timeout, home, Arc::clone(&said))
        };
        let cluster = options.topology == Topology::Cluster;

        let first = link(slot(&options.namespace), ANSWER, Some(home.handle.clone()));
        let always = check(&first, &options).await?;
        let count = agree(
            &link(slot(&format!("{}:partitions", options.namespace)), ANSWER, Some(home.handle.clone())),
            &options,
        )
        .await?;

        let tagged = cluster || count > 1;
        let mut partitions: Vec<Partition> = Vec::new();
        let (mut links, mut server_of) = (Vec::new(), Vec::new());
        for number in 0..count {
            let prefix = prefix(&options.namespace, number, tagged);
            let slot = slot(&prefix);
            let (turns, calls) = match partitions.first() {
                // One server holds them all.
                Some(first) if !cluster => (Arc::clone(&first.turns), Arc::clone(&first.calls)),
                _ => {
                    let calls = Arc::new(link(slot, ANSWER, Some(home.handle.clone())));
                    // A connection without a home lives where it is first used: with its engine.
                    let reads = |home| link(slot, BLOCK + Duration::from_secs(2), home);
                    links.push(Links {
                        queues: reads(None),
                        given: reads(None),
                        runs: reads(Some(home.handle.clone())),
                        calls: Arc::clone(&calls),
                    });
                    (Arc::new(link(slot, ANSWER, None)), calls)
                }
            };
            server_of.push(links.len() - 1);
            let (meta, epoch, clock) = (format!("{prefix}meta"), String::new(), clock.clone());
            let mut partition = Partition { prefix, meta, epoch, clock, turns, calls };
            partition.epoch = found(&partition, count).await?;
            partitions.push(partition);
        }
        let hints = Arc::new(Hints::default());
        let waiting = Waiting::new(links, server_of, &partitions, &hints, &home.handle);
        let turning = tokio::sync::Mutex::default();
        let offers = AtomicU64::default();
        let ticking = tokio::sync::Mutex::default();
        Ok(Self { options, always, partitions, hints, waiting, offers, turning, ticking, _home: home })
    }
}

/// Checks the server. Whether it syncs every write to its disk.
async fn check(link: &Link, options: &Options) -> Result<bool, StoreError> {
    let refused = |message: String| StoreError::new(ErrorKind::Config, OP, message);
    let info = text(link.look(OP, redis::cmd("INFO").arg("server")).await?).ok_or_else(|| garbled(OP))?;
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    // A function of a namespace that is not laid out for a cluster would fail there at the first start.
    let scheme = match field("redis_mode") {
        Some("cluster") if options.topology != Topology::Cluster => Some("redis+cluster"),
        Some("sentinel") if !matches!(options.topology, Topology::Sentinel(_)) => Some("redis+sentinel"),
        _ => None,
    };
    if let Some(scheme) = scheme {
        let (_, what) = scheme.split_once('+').unwrap_or_default();
        let s = if options.tls.is_some() { "s" } else { "" };
        let master = if what == "sentinel" { "/master" } else { "" };
        return Err(refused(format!(
            "the server belongs to a {what}, which the URL does not say: write `redis{s}+{what}://host:port{master}`"
        )));
    }
    // Valkey names the version of Redis that it is compatible with, too.
    let version = field("redis_version").unwrap_or_default().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let version_number: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version_number < (7, 0) {
        return Err(refused(format!("the server is Redis {version}; nq needs Redis 7.0, or Valkey")));
    }

    let mut volatile = Vec::new();
    let Some(policy) = config(link, "maxmemory-policy").await? else {
        tracing::warn!(
            "the server does not tell its configuration; make sure that it has `maxmemory-policy noeviction` and `appendonly yes`"
        );
        return Ok(false);
    };
    if policy != "noeviction" {
        volatile.push((
            "maxmemory-policy",
            "noeviction",
            format!("throws keys away when its memory is full (`{policy}`)"),
        ));
    }
    if config(link, "appendonly").await?.as_deref() != Some("yes") {
        volatile.push((
            "appendonly",
            "yes",
            "forgets what it acknowledged when it restarts (`appendonly no`)".into(),
        ));
    }
    if !volatile.is_empty() && !options.allow_volatile {
        let why: Vec<_> = volatile.iter().map(|(.., why)| why.as_str()).collect();
        return Err(refused(format!(
            "this Redis {}. Set it up to keep what it is given:\n    CONFIG SET maxmemory-policy noeviction\n    CONFIG SET appendonly yes\nand the same in its configuration file; or add `?allow_volatile=true` to the URL to accept the loss",
            why.join(" and ")
        )));
    }
    let always = config(link, "appendfsync").await?.as_deref() == Some("always");
    let appends = !volatile.iter().any(|(name, ..)| *name == "appendonly");
    if options.durability == Durability::Fsync
        && !(always && appends)
        && (version_number < (7, 2) || !appends)
    {
        return Err(refused(format!(
            "`durability=fsync` needs `appendonly yes` and, on Redis {version}, `appendfsync always`; or Redis 7.2"
        )));
    }
    if !volatile.is_empty() {
        tracing::warn!("this Redis may forget what it acknowledged, as `allow_volatile=true` accepts");
    } else if !always && options.durability == Durability::Relaxed {
        tracing::info!(
            "Redis syncs its file every second: what it acknowledged in the last two seconds may be lost when it dies; `durability=fsync` covers starts and effects"
        );
    }
    Ok(always && appends)
}

/// A setting of the server; none where the user may not see it.
async fn config(link: &Link, name: &str) -> Result<Option<String>, StoreError> {
    match link.read(redis::cmd("CONFIG").arg("GET").arg(name)).await {
        Ok(reply) => Ok(Reply::new(OP, reply)?.texts()?.into_iter().nth(1)),
        Err(error) => match store_error(OP, error) {
            // Renamed away, or forbidden.
            error if matches!(error.kind(), ErrorKind::Config | ErrorKind::Corrupt) => Ok(None),
            error => Err(error),
        },
    }
}

/// The number of partitions: of whoever opened the namespace first.
async fn agree(link: &Link, options: &Options) -> Result<u32, StoreError> {
    let key = format!("{}:partitions", options.namespace);
    let wanted = options.partitions.unwrap_or(if options.topology == Topology::Cluster { 16 } else { 1 });
    link.send(OP, redis::cmd("SET").arg(&key).arg(wanted).arg("NX")).await?;
    let known = link.look(OP, redis::cmd("GET").arg(&key)).await?;
    let known: u32 = text(known).and_then(|text| text.parse().ok()).ok_or_else(|| garbled(OP))?;
    if options.partitions.is_some_and(|asked| asked != known) {
        let message = format!(
            "the namespace has {known} partitions, not {wanted}; the number is fixed when it is first opened"
        );
        return Err(StoreError::new(ErrorKind::Config, OP, message).with_key(key));
    }
    Ok(known)
}

/// Makes sure that a partition is there and of this layout. Its epoch.
async fn found(partition: &Partition, count: u32) -> Result<String, StoreError> {
    let defaults =
        [("version", FORMAT.to_owned()), ("partitions", count.to_string()), ("epoch", new_epoch())];
    for (field, value) in defaults {
        partition.calls.send(OP, redis::cmd("HSETNX").arg(&partition.meta).arg(field).arg(value)).await?;
    }
    let fields = ["version", "epoch"];
    let meta = partition.calls.look(OP, redis::cmd("HMGET").arg(&partition.meta).arg(&fields)).await?;
    let [version, epoch] =
        <[String; 2]>::try_from(Reply::new(OP, meta)?.texts()?).map_err(|_| garbled(OP))?;
    if version != FORMAT {
        // An older one was never released; a newer one may have what this version would destroy.
        let message = format!(
            "the namespace has format {version}, and this version of nq knows format {FORMAT}: open it with the version that made it, or name another with `namespace=NAME` in the URL"
        );
        return Err(StoreError::new(ErrorKind::Version, OP, message).with_key(&partition.meta));
    }
    Ok(epoch)
}

fn new_epoch() -> String {
    uuid::Uuid::from_u128(fastrand::u128(..)).simple().to_string()
}
