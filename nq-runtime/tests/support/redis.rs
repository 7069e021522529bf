//! Redis servers of a test's own: on free ports, in temporary folders, gone with the test.

#![allow(dead_code, reason = "each test uses the part that it needs")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot have its server has failed"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

/// The settings of a server that keeps what it acknowledges, unless the machine dies.
pub(crate) const EVERY_SECOND: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];
/// The settings of a server that keeps what it acknowledges.
pub(crate) const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// The settings of a server that forgets.
pub(crate) const VOLATILE: &[&str] = &["--appendonly", "no"];

/// Runs a server until its own input ends: so the server goes with the test also when the test is killed.
const RUN: &str = r#""$0" "$@" >/dev/null & echo $!; cat >/dev/null; kill -9 $!; wait"#;

/// What is tested against: `redis-server`, or `valkey-server` where that is all there is, or what
/// `NQ_TEST_REDIS` names.
fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let runs = |program: &str| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let named = std::env::var("NQ_TEST_REDIS").ok().filter(|program| !program.is_empty());
        let known =
            || ["redis-server", "valkey-server"].into_iter().find(|program| runs(program)).map(Into::into);
        let Some(program) = named.or_else(known) else {
            panic!(
                "these tests need `redis-server` or `valkey-server`: install Redis 7.0 or later, or Valkey"
            );
        };
        assert!(runs(&program), "`{program}` cannot be run");
        program
    });
    &PROGRAM
}

/// A running server. Killed when dropped.
pub(crate) struct RedisServer {
    running: Option<Running>,
    folder: TempDir,
    port: u16,
    config: Vec<String>,
    is_sentinel: bool,
}

struct Running {
    shell: Child,
    input: ChildStdin,
    /// The server's own.
    pid: String,
}

impl RedisServer {
    /// Starts a server with these settings.
    pub(crate) fn start(config: &[&str]) -> Self {
        Self::start_as(config, false)
    }

    /// Starts a sentinel that knows of no server yet.
    pub(crate) fn sentinel() -> Self {
        Self::start_as(&[], true)
    }

    fn start_as(config: &[&str], is_sentinel: bool) -> Self {
        let mut folder = tempfile::tempdir().unwrap();
        let config: Vec<_> = config.iter().map(|&setting| setting.to_owned()).collect();
        // Another test may take the port between its choice and its use.
        for _ in 0..20 {
            let (port, config) = (free_port(), config.clone());
            let mut server = Self { running: None, folder, port, config, is_sentinel };
            if server.try_run() {
                return server;
            }
            folder = server.folder_again();
        }
        panic!("`{}` does not start; what it says is above", program());
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of it, with these options behind `?`.
    pub(crate) fn url(&self, options: &str) -> String {
        format!("redis://127.0.0.1:{}/?{options}", self.port)
    }

    /// Kills the server as a crash would.
    pub(crate) fn kill9(&mut self) {
        if let Some(Running { mut shell, input, .. }) = self.running.take() {
            drop(input);
            shell.wait().unwrap();
        }
    }

    /// Starts the server again, on its port and with what its folder keeps.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.mend_log();
        assert!(self.try_run(), "`{}` does not start again", program());
    }

    /// Cuts a half transaction off the end of the append-only file, as `redis-check-aof --fix` does.
    ///
    /// A server that finds one cuts off only its last command, and leaves those before: they come into effect when the
    /// server starts once more after that. Whoever kills it again and again would see writes that nobody has made whole.
    fn mend_log(&self) {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("appendonlydir")) else { return };
        for path in files.map(|file| file.unwrap().path()) {
            if path.to_string_lossy().ends_with(".incr.aof") {
                let log = std::fs::read(&path).unwrap();
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(whole_transactions(&log) as u64).unwrap();
            }
        }
    }

    /// Lets the server end by itself, with everything on its disk.
    pub(crate) fn stop(&mut self) {
        let _ = self.try_command(&["SHUTDOWN", "NOSAVE"]);
        self.kill9();
    }

    /// Stops the server, keeps a copy of what it has on its disk, and starts it again.
    pub(crate) fn keep(&mut self) -> TempDir {
        self.stop();
        let kept = tempfile::tempdir().unwrap();
        copy(self.folder.path(), kept.path());
        self.restart();
        kept
    }

    /// Kills the server and starts it again with what was kept before: all that has come since is lost.
    pub(crate) fn set_back(&mut self, kept: &TempDir) {
        self.kill9();
        std::fs::remove_dir_all(self.folder.path()).unwrap();
        copy(kept.path(), self.folder.path());
        self.restart();
    }

    /// Freezes the server, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let pid = &self.running.as_ref().unwrap().pid;
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
    }

    /// Sends a command. The reply as text, a line for each element.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same where the server may break the connection off.
    pub(crate) fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let bulk: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        let request = format!("*{}\r\n{}", words.len(), bulk.concat());
        stream.write_all(request.as_bytes())?;
        reply(&mut BufReader::new(stream))
    }

    /// Whether the server came up. It does not if another took its port first.
    fn try_run(&mut self) -> bool {
        // A sentinel keeps what it learns in its file; without one it does not start.
        let file = self.folder.path().join("own.conf");
        if !file.exists() {
            std::fs::write(&file, "").unwrap();
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", RUN, program()]).arg(&file);
        shell.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        shell.arg("--dir").arg(self.folder.path());
        // A server that is killed while it rewrites its file leaves the process behind that does so.
        let never = ["--save", "", "--auto-aof-rewrite-percentage", "0"];
        shell.args(if self.is_sentinel { &["--sentinel"][..] } else { &never });
        let mut shell = shell
            .args(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = shell.stdin.take().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pid = pid.trim().to_owned();
        let mine = format!("process_id:{pid}\r");
        self.running = Some(Running { shell, input, pid });
        for _ in 0..2_000 {
            match self.try_command(&["INFO", "server"]) {
                Ok(info) if info.contains("process_id:") => return info.contains(&mine),
                // It answers while it loads, but not to this.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        false
    }

    fn folder_again(mut self) -> TempDir {
        self.kill9();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A cluster of three servers.
pub(crate) struct RedisCluster {
    /// The servers, each with a third of the slots.
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three servers and joins them.
    pub(crate) fn start() -> Self {
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                // A node that is away takes only its own slots with it.
                let partly = ["--cluster-require-full-coverage", "no"];
                let cluster = [&["--cluster-enabled", "yes", "--cluster-port", &bus][..], &partly].concat();
                (RedisServer::start(&[EVERY_SECOND, &cluster].concat()), bus)
            })
            .collect();
        for (at, (node, _)) in nodes.iter().enumerate() {
            let (from, to) = ([0, 5461, 10923][at], [5460, 10922, 16383][at]);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for (node, bus) in &nodes[1..] {
            let port = node.port().to_string();
            nodes[0].0.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        for (node, _) in &nodes {
            for _ in 0..2_000 {
                let info = node.command(&["CLUSTER", "INFO"]);
                if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() }
    }

    /// The URL of it, with these options behind `?`.
    pub(crate) fn url(&self, options: &str) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}/?{options}", hosts.join(","))
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Reads one reply.
fn reply(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let rest = line.get(1..).unwrap_or_default().to_owned();
    match line.as_bytes().first() {
        Some(b'$') if rest != "-1" => {
            let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
            reader.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Some(b'*') => {
            let parts = (0..rest.parse().unwrap_or(0)).map(|_| reply(reader));
            Ok(parts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(rest),
    }
}

/// How many bytes of an append-only file are whole commands and transactions.
pub(crate) fn whole_transactions(log: &[u8]) -> usize {
    let (mut at, mut whole, mut within) = (0, 0, false);
    while let Some((command, length)) = command(&log[at..]) {
        at += length;
        within = (within || command.eq_ignore_ascii_case(b"multi")) && !command.eq_ignore_ascii_case(b"exec");
        if !within {
            whole = at;
        }
    }
    whole
}

/// The name of the command that this begins with, and how many bytes it takes. None if it is not whole.
fn command(log: &[u8]) -> Option<(&[u8], usize)> {
    let number = |at: usize, sign: u8| -> Option<(usize, usize)> {
        let line = log.get(at..)?;
        let end = line.windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(line[..end].strip_prefix(&[sign])?).ok()?;
        Some((digits.parse().ok()?, at + end + 2))
    };
    let (words, mut at) = number(0, b'*')?;
    let mut name = None;
    for _ in 0..words {
        let (length, from) = number(at, b'$')?;
        at = from + length + 2;
        let word = log.get(from..at)?;
        name.get_or_insert(&word[..length]);
    }
    Some((name?, at))
}
