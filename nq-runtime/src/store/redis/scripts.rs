//! The scripts, and how they are called: by their digest, with their text once a server does not know them.

use std::sync::LazyLock;

use nq_core::store::StoreError;
use redis::{Cmd, Pipeline, RedisError, ServerErrorKind, ToRedisArgs, Value};

use super::Partition;
use super::errors::store_error;
use super::link::Link;

/// A script as the server gets it.
pub(super) struct Script {
    /// It goes by the clock of the server.
    real: LazyLock<Text>,
    /// It goes by the clock of a test, which comes as a second key.
    tested: LazyLock<Text>,
}

struct Text {
    code: String,
    digest: String,
}

impl Text {
    fn new(code: String) -> Self {
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { code, digest }
    }
}

/// Where the scripts get the time, and where they get it in a test.
const TIME: &str = "call('TIME')";
const TEST_TIME: &str = "{ match(KEYS[2], '(%d+) (%d+)') }";

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)*) => {
        $($(#[$doc])* pub(super) static $name: Script = Script {
            real: LazyLock::new(|| Text::new(concat!($(include_str!(concat!("scripts/", $file))),+).into())),
            tested: LazyLock::new(|| Text::new($name.real.code.replace(TIME, TEST_TIME))),
        };)*
    };
}

scripts! {
    /// A turn.
    TURN = "base.lua" "ledger.lua" "turn.lua";
    /// Begins a run.
    START = "base.lua" "start.lua";
    /// Does something to a run from outside.
    ACT = "base.lua" "ledger.lua" "act.lua";
    /// Appends log lines.
    APPEND = "base.lua" "append.lua";
    /// What time brings.
    TICK = "base.lua" "ledger.lua" "tick.lua";
    /// Pauses and resumes a queue.
    PAUSE = "base.lua" "pause.lua";
    /// Reads entries of a run.
    READ = "read.lua";
    /// Reads the events of a gather.
    GATHERED = "gathered.lua";
    /// Lists runs.
    RUNS = "runs.lua";
}

/// One call of a script in a partition.
pub(super) struct Call {
    text: &'static Text,
    command: Cmd,
}

impl Call {
    /// A call without arguments but the partition's prefix.
    pub(super) fn new(script: &'static Script, partition: &Partition) -> Self {
        let text = if partition.clock.is_some() { &*script.tested } else { &*script.real };
        let mut command = redis::cmd("EVALSHA");
        // The one key tells a cluster where to run it; the others share its slot.
        command.arg(&text.digest).arg(1 + u8::from(partition.clock.is_some())).arg(&partition.meta);
        if let Some(clock) = &partition.clock {
            let now_ms = clock();
            command.arg(format!("{} {}", now_ms / 1_000, now_ms % 1_000 * 1_000));
        }
        command.arg(&partition.prefix);
        Self { text, command }
    }

    /// Adds an argument.
    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// Makes the call.
    pub(super) async fn run(&self, link: &Link, op: &'static str) -> Result<Value, StoreError> {
        let reply = match link.raw(&self.command).await {
            Err(error) if unknown(&error) => link.raw(&self.with_text()).await,
            reply => reply,
        };
        reply.map_err(|error| store_error(op, error))
    }

    /// Makes the call and, on the same connection right after it, another command, whose answer comes second.
    pub(super) async fn run_then(
        &self,
        link: &Link,
        op: &'static str,
        then: &Cmd,
    ) -> Result<(Value, Value), StoreError> {
        let both = |command: Cmd| {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.add_command(command).add_command(then.clone());
            pipeline
        };
        let send = async |command: Cmd| -> Result<(Value, Value), RedisError> {
            let mut replies = link.send_all(&both(command)).await?.into_iter();
            let mut next = || replies.next().unwrap_or_default().extract_error();
            Ok((next()?, next()?))
        };
        let replies = match send(self.command.clone()).await {
            Err(error) if unknown(&error) => send(self.with_text()).await,
            replies => replies,
        };
        replies.map_err(|error| store_error(op, error))
    }

    /// The same call with the script itself, which the server then knows.
    fn with_text(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(&self.text.code);
        for arg in self.command.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = arg {
                command.arg(bytes);
            }
        }
        command
    }
}

fn unknown(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}
