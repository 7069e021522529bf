//! One connection that comes back: made when first used, dropped when it fails, and made again with backoff.
//! Calls on a connection that is away fail at once; that it is away, and back, is said once each.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nq_core::store::StoreError;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::errors::{broke_off, ends_connection, is_worth_another, store_error};
use super::options::{Options, Tls, Topology};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// The longest that a connection is not tried again after it failed.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// On how many connections a read is tried that end under it.
const READS: usize = 3;

/// A connection to the server that holds some partition.
pub(super) struct Link {
    options: Options,
    /// The slot of the partition, in a cluster.
    slot: u16,
    /// How long an answer may take. What takes longer is unknown, not undone.
    timeout: Duration,
    /// Where the connection lives; none for the runtime of whoever makes it.
    home: Option<Handle>,
    /// Whether it has been said that the server is away; shared by the connections of a store.
    said: Arc<AtomicBool>,
    state: Mutex<State>,
    connecting: tokio::sync::Mutex<()>,
    /// How many times the server was given the library over it.
    loads: AtomicU64,
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Tells one connection from the next.
    generation: u64,
    /// By what id the server knows the connection, once that was asked.
    client_id: Option<i64>,
    failures: u32,
    not_before: Option<Instant>,
    last_error: Option<RedisError>,
}

impl Link {
    pub(super) fn new(
        options: Options,
        slot: u16,
        timeout: Duration,
        home: Option<Handle>,
        said: Arc<AtomicBool>,
    ) -> Self {
        let (state, connecting, loading) =
            (Mutex::default(), tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Self { options, slot, timeout, home, said, state, connecting, loads: AtomicU64::new(0), loading }
    }

    /// Sends a command.
    pub(super) async fn send(&self, op: &'static str, command: &Cmd) -> Result<Value, StoreError> {
        self.raw(command).await.map_err(|error| self.error(op, error))
    }

    /// The error that a caller of this verb gets.
    pub(super) fn error(&self, op: &'static str, error: RedisError) -> StoreError {
        let error = store_error(op, error);
        // Another connection may be back already, and this one not try yet.
        let logged = error.is_retryable() && (self.said.load(Ordering::Relaxed) || self.lock().failures > 0);
        error.with_logged(logged)
    }

    /// Sends a command, and gives the error as it is.
    pub(super) async fn raw(&self, command: &Cmd) -> Result<Value, RedisError> {
        let (mut connection, generation) = self.connection().await?;
        let reply = connection.send_packed_command(command).await.and_then(Value::extract_error);
        reply.inspect_err(|error| self.failed(generation, error))
    }

    /// Sends a command that changes nothing, again if the connection ends under it: so a connection that ends is seen
    /// by nobody who reads, as long as another comes about.
    pub(super) async fn read(&self, command: &Cmd) -> Result<Value, RedisError> {
        for _ in 1..READS {
            // A connection that does not come about is away, not ended.
            self.connection().await?;
            match self.raw(command).await {
                Err(error) if is_worth_another(&error) => {}
                reply => return reply,
            }
        }
        self.raw(command).await
    }

    /// As `read`, with the error that a caller of this verb gets.
    pub(super) async fn look(&self, op: &'static str, command: &Cmd) -> Result<Value, StoreError> {
        self.read(command).await.map_err(|error| self.error(op, error))
    }

    /// As `look`, for commands in one go. What the server cannot tell now is no answer.
    pub(super) async fn look_all(
        &self,
        op: &'static str,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        let mut tries = 1;
        let replies = loop {
            self.connection().await.map_err(|error| self.error(op, error))?;
            match self.send_all(commands).await {
                Err(error) if tries < READS && is_worth_another(&error) => tries += 1,
                replies => break replies.map_err(|error| self.error(op, error))?,
            }
        };
        for reply in replies.iter().filter(|reply| matches!(reply, Value::ServerError(_))) {
            if let Err(error) = reply.clone().extract_error() {
                let error = self.error(op, error);
                if error.is_retryable() {
                    return Err(error);
                }
            }
        }
        Ok(replies)
    }

    /// Sends commands in one go; each has its own answer.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let count = commands.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (mut connection, generation) = self.connection().await?;
        let replies = connection.send_packed_commands(commands, 0, count).await;
        replies.inspect_err(|error| self.failed(generation, error))
    }

    /// How many times the server was given the library over it.
    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Gives the server the library by this command, once for all whose calls it did not know: `before` is how many
    /// times that had been when the call was made.
    pub(super) async fn load(&self, command: &Cmd, before: u64) -> Result<(), RedisError> {
        let _one_at_a_time = self.loading.lock().await;
        if self.loads() != before {
            return Ok(());
        }
        match self.raw(command).await {
            // Over another connection, or by another process.
            Err(error) if !error.detail().is_some_and(|detail| detail.ends_with("already exists")) => {
                return Err(error);
            }
            _ => {}
        }
        self.loads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a connection if there is none. An error means that nothing can have been sent since.
    pub(super) async fn reach(&self) -> Result<(), RedisError> {
        self.connection().await.map(drop)
    }

    /// By what id the server knows the connection. Asked once for each connection.
    pub(super) async fn client_id(&self) -> Result<i64, RedisError> {
        let (_, generation) = self.connection().await?;
        if let Some(id) = self.lock().client_id {
            return Ok(id);
        }
        let reply = self.raw(redis::cmd("CLIENT").arg("ID")).await?;
        let id = if let Value::Int(id) = reply { id } else { 0 };
        let mut state = self.lock();
        if state.generation == generation {
            state.client_id = Some(id);
        }
        Ok(id)
    }

    /// A connection, made now if there is none.
    async fn connection(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        if let Some(ready) = self.ready()? {
            return Ok(ready);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(ready) = self.ready()? {
            return Ok(ready);
        }
        // One that breaks off while it is set up is not away yet.
        let made = match self.make().await {
            Err(error) if broke_off(&error) => self.make().await,
            made => made,
        };
        let mut state = self.lock();
        match made {
            Ok(connection) => {
                if self.said.swap(false, Ordering::Relaxed) {
                    tracing::info!(store = self.options.shown, "Redis is back");
                }
                state.failures = 0;
                state.not_before = None;
                state.generation += 1;
                state.client_id = None;
                state.connection = Some(connection.clone());
                Ok((connection, state.generation))
            }
            Err(error) => {
                if !self.said.swap(true, Ordering::Relaxed) {
                    let store = &self.options.shown;
                    tracing::warn!(store, %error, "Redis cannot be reached; it is tried again until it is back");
                }
                state.away(&error);
                Err(error)
            }
        }
    }

    /// Makes a connection where it is to live.
    async fn make(&self) -> Result<MultiplexedConnection, RedisError> {
        match &self.home {
            None => connect(&self.options, self.slot, self.timeout).await,
            Some(home) => {
                let (options, slot, timeout) = (self.options.clone(), self.slot, self.timeout);
                let made = home.spawn(async move { connect(&options, slot, timeout).await }).await;
                made.unwrap_or_else(|_| Err((redis::ErrorKind::Io, "the store was closed").into()))
            }
        }
    }

    /// The connection that there is; an error while it is too early for another.
    fn ready(&self) -> Result<Option<(MultiplexedConnection, u64)>, RedisError> {
        let state = self.lock();
        if let Some(connection) = &state.connection {
            return Ok(Some((connection.clone(), state.generation)));
        }
        match (&state.not_before, &state.last_error) {
            (Some(not_before), Some(error)) if Instant::now() < *not_before => Err(error.clone()),
            _ => Ok(None),
        }
    }

    fn failed(&self, generation: u64, error: &RedisError) {
        if !ends_connection(error) {
            return;
        }
        let mut state = self.lock();
        // Many calls see the end of one connection; the first of them drops it.
        if state.generation == generation && state.connection.take().is_some() {
            state.last_error = Some(error.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn away(&mut self, error: &RedisError) {
        self.failures += 1;
        let bound = Duration::from_millis(25).saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        // Clients that lost a server together do not come back together.
        self.not_before = Some(Instant::now() + bound.mul_f64(0.5 + fastrand::f64() / 2.0));
        self.last_error = Some(error.clone());
    }
}

/// Finds the server and connects to it.
async fn connect(
    options: &Options,
    slot: u16,
    timeout: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    if options.tls.is_some() {
        // An error means that the program has chosen its cryptography already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    match &options.topology {
        Topology::Single => {
            let mut result = Err((redis::ErrorKind::InvalidClientConfig, "the URL names no host").into());
            for (host, port) in &options.hosts {
                result = open(options, host, *port, timeout, options.db).await;
                if result.is_ok() {
                    break;
                }
            }
            result
        }
        Topology::Sentinel(master) => {
            let (host, port) =
                ask(options, |reply| master_address(&reply), sentinel_question(master)).await?;
            let mut connection = open(options, &host, port, timeout, options.db).await?;
            // A sentinel may still name the old master: its role tells.
            let role = connection.send_packed_command(&redis::cmd("ROLE")).await?.extract_error()?;
            match role.as_sequence().and_then(|role| role.first()).map(text) {
                Some(role) if role == "master" => Ok(connection),
                _ => Err((redis::ErrorKind::Io, "the sentinels name a server that is no master").into()),
            }
        }
        Topology::Cluster => {
            let question = redis::cmd("CLUSTER").arg("SLOTS").clone();
            let (host, port) = ask(options, |reply| slot_address(&reply, slot), question).await?;
            open(options, &host, port, timeout, 0).await
        }
    }
}

fn sentinel_question(master: &str) -> Cmd {
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).clone()
}

/// Asks the hosts of the URL one after another where the server is.
async fn ask(
    options: &Options,
    address: impl Fn(Value) -> Option<(String, u16)>,
    question: Cmd,
) -> Result<(String, u16), RedisError> {
    let mut last = (redis::ErrorKind::Io, "none of the hosts of the URL knows where the server is").into();
    for (host, port) in &options.hosts {
        let answer = async {
            let mut connection = open(options, host, *port, CONNECT, 0).await?;
            connection.send_packed_command(&question).await?.extract_error()
        };
        match answer.await.map(&address) {
            // A node that does not know its own name gives none.
            Ok(Some((named, port))) => {
                return Ok((if named.is_empty() { host.clone() } else { named }, port));
            }
            Ok(None) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn master_address(reply: &Value) -> Option<(String, u16)> {
    let [host, port] = reply.as_sequence()? else { return None };
    Some((text(host), text(port).parse().ok()?))
}

fn slot_address(reply: &Value, slot: u16) -> Option<(String, u16)> {
    reply.as_sequence()?.iter().find_map(|range| {
        let [Value::Int(from), Value::Int(to), master, ..] = range.as_sequence()? else { return None };
        let [host, Value::Int(port), ..] = master.as_sequence()? else { return None };
        let inside = (*from..=*to).contains(&i64::from(slot));
        inside.then(|| Some((text(host), u16::try_from(*port).ok()?)))?
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

async fn open(
    options: &Options,
    host: &str,
    port: u16,
    timeout: Duration,
    db: i64,
) -> Result<MultiplexedConnection, RedisError> {
    let addr = if options.tls.is_some() {
        ConnectionAddr::TcpTls { host: host.into(), port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.into(), port)
    };
    let mut login = RedisConnectionInfo::default().set_db(db);
    if let Some(user) = &options.user {
        login = login.set_username(user);
    }
    if let Some(password) = &options.password {
        login = login.set_password(password);
    }
    // A peer that vanished without a word is noticed, and small commands are not held back.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    let info: ConnectionInfo = addr.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(timeout));
    let client = match &options.tls {
        Some(tls) => Client::build_with_tls(info, certificates(tls)?)?,
        None => Client::open(info)?,
    };
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// The certificates that the URL names.
fn certificates(tls: &Tls) -> Result<TlsCertificates, RedisError> {
    let read = |path: &PathBuf| -> Result<Vec<u8>, RedisError> {
        std::fs::read(path).map_err(|error| {
            let what = format!("`{}`: {error}", path.display());
            (redis::ErrorKind::InvalidClientConfig, "a file of TLS cannot be read", what).into()
        })
    };
    let client_tls = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.ca.as_ref().map(read).transpose()? })
}
