//! The one Redis server on which everybody is measured: on a free port of the loopback, in a temporary folder, gone with
//! the command.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::tools;

/// Runs a server until its own input ends: so the server goes with this program also when the program is killed.
const RUN: &str = r#""$0" "$@" >/dev/null & cat >/dev/null; kill -9 $!; wait"#;

/// How often something that takes a while is looked at, and how many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;

pub(super) struct Server {
    shell: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        tools::need(&["redis-server", "valkey-server"], "redis-server")?;
        let program = ["redis-server", "valkey-server"].into_iter().find_map(tools::find);
        let program = program.context("no server")?;
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut shell = Command::new("sh");
        shell.args(["-c", RUN]).arg(program).args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string());
        // Nothing is written by the clock: no snapshots, and no append-only file anew while somebody is measured.
        shell.args(["--save", "", "--appendonly", "no", "--auto-aof-rewrite-percentage", "0"]);
        shell.args(["--appendfsync", "everysec"]).arg("--dir").arg(folder.path());
        let shell = shell.stdin(Stdio::piped()).spawn().context("`sh` cannot be started")?;
        let server = Self { shell, port, _folder: folder };
        server.until("it answers", |server| server.ask("PING").is_ok_and(|said| said.contains("PONG")))?;
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn version(&self) -> Result<String> {
        let info = self.ask("INFO server")?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.context("a server without a version")?.trim().to_owned())
    }

    /// Empties the server, and lets it write an append-only file, or none.
    pub(super) fn empty(&self, appendonly: bool) -> Result<()> {
        self.order("CONFIG SET appendonly no")?;
        self.order("FLUSHALL SYNC")?;
        if appendonly {
            self.order("CONFIG SET appendonly yes")?;
            self.until("its append-only file is there", |server| {
                let info = server.ask("INFO persistence").unwrap_or_default();
                ["aof_enabled:1", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]
                    .iter()
                    .all(|line| info.lines().any(|said| said.trim() == *line))
            })?;
        }
        Ok(())
    }

    fn order(&self, command: &str) -> Result<()> {
        let said = self.ask(command)?;
        ensure!(said.starts_with("+OK"), "`{command}`: {said}");
        Ok(())
    }

    /// What the server says to a command.
    fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(stream, "{command}\r\nQUIT\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    }

    fn until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Result<()> {
        for _ in 0..LOOKS {
            if is(self) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("the Redis server does not do as it should: {what}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
