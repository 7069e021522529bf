//! Redis servers of a test's own: on free ports, in temporary folders, gone with the test.

#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The settings of a server that keeps what it acknowledges, unless the machine dies.
pub(crate) const EVERY_SECOND: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];
/// The settings of a server that keeps what it acknowledges.
pub(crate) const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// The settings of a server that forgets.
pub(crate) const VOLATILE: &[&str] = &["--appendonly", "no"];

/// A running server. Killed when dropped.
pub(crate) struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    config: Vec<String>,
}

impl RedisServer {
    /// Starts a server with these settings.
    pub(crate) fn start(config: &[&str]) -> Self {
        let mut folder = tempfile::tempdir().unwrap();
        let config: Vec<_> = config.iter().map(|&setting| setting.to_owned()).collect();
        // Another test may take the port between its choice and its use.
        for _ in 0..20 {
            let mut server = Self { child: None, folder, port: free_port(), config: config.clone() };
            if server.try_run() {
                return server;
            }
            folder = server.folder_again();
        }
        panic!("redis-server does not start; its log is above");
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
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts the server again, on its port and with what its folder keeps.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        assert!(self.try_run(), "redis-server does not start again");
    }

    /// Lets the server end by itself, with everything on its disk.
    pub(crate) fn stop(&mut self) {
        if self.child.is_some() {
            let _ = self.try_command(&["SHUTDOWN", "NOSAVE"]);
            self.child.take().unwrap().wait().unwrap();
        }
    }

    /// Freezes the server, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends a command. The reply as text, a line for each element.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(request.as_bytes())?;
        reply(&mut BufReader::new(stream))
    }

    fn try_run(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path())
            .args(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("`redis-server` cannot be run ({error}): these tests need it, install Redis 7.0 or later")
        });
        let child = self.child.insert(child);
        let pid = child.id();
        for _ in 0..1_000 {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            let pong = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if pong {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // It answers while it loads, but not to this.
        for _ in 0..1_000 {
            match self.try_command(&["INFO", "server"]) {
                // Another server may have taken the port first.
                Ok(info) if info.contains("process_id:") => {
                    return info.contains(&format!("process_id:{pid}\r"));
                }
                Ok(refused) if refused.starts_with("NOAUTH") => return true,
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
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three servers and joins them.
    pub(crate) fn start() -> Self {
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus];
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
