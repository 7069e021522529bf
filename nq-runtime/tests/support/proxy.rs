//! A proxy between a client and a server, which cuts connections where a test wants it.

#![allow(dead_code, reason = "each test uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot have its proxy has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::spawn;

/// Lets pass what a client asks, and what a server answers as far as it may.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many bytes of answers may yet pass before the connection that brings the next is cut, once.
    left: AtomicI64,
    armed: AtomicBool,
}

impl Proxy {
    /// Goes between whoever connects to the proxy and the server on this port of 127.0.0.1.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let all = shared.clone();
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    carry(client, server, &all);
                }
            }
        });
        Self { port, shared }
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server behind it, with these options behind `?`.
    pub(crate) fn url(&self, options: &str) -> String {
        format!("redis://127.0.0.1:{}/?{options}", self.port)
    }

    /// Cuts one connection when so many bytes of answers have passed: what comes behind them gets lost.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.left.store(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
        self.shared.armed.store(true, Ordering::SeqCst);
    }

    /// Whether the cut has not been made yet. None is made after this.
    pub(crate) fn disarm(&self) -> bool {
        self.shared.armed.swap(false, Ordering::SeqCst)
    }
}

/// Carries what each of them says to the other until one of them ends, or is cut off.
fn carry(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (asking, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    spawn(move || pass(asking, asked, |bytes| bytes));
    let shared = shared.clone();
    spawn(move || pass(server, client, |bytes| shared.may_pass(bytes)));
}

/// Passes on what comes, as much of it as may.
fn pass(mut from: TcpStream, mut to: TcpStream, may: impl Fn(usize) -> usize) {
    let mut buffer = vec![0; 65_536];
    while let Ok(bytes) = from.read(&mut buffer) {
        let passed = may(bytes);
        if to.write_all(&buffer[..passed]).is_err() || passed < bytes || bytes == 0 {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl Shared {
    /// How many of these bytes of an answer may pass.
    fn may_pass(&self, bytes: usize) -> usize {
        if !self.armed.load(Ordering::SeqCst) {
            return bytes;
        }
        let wanted = i64::try_from(bytes).unwrap();
        let left = self.left.fetch_sub(wanted, Ordering::SeqCst);
        // Only one connection is cut.
        if left >= wanted || !self.armed.swap(false, Ordering::SeqCst) {
            return bytes;
        }
        usize::try_from(left.max(0)).unwrap()
    }
}
