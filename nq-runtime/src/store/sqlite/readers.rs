//! The threads that read, each on its own connection, so that no read waits for the disk of a write.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nq_core::store::{ErrorKind, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::db::Db;
use super::errors::{Failure, Reach};
use super::files::Files;
use super::open;
use super::shared::Shared;

/// How many reads run at once. Each is short; a few make sure that a long one does not hold up a short one.
const THREADS: usize = 3;

type Look = Box<dyn FnOnce(Result<&Connection, Failure>) + Send>;

/// The threads.
#[derive(Debug)]
pub(super) struct Readers {
    /// None once they are to end.
    looks: Option<Sender<Look>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Readers {
    /// Starts them on the file at this path.
    pub(super) fn start(path: &Path, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (looks, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut readers = Self { looks: Some(looks), threads: Vec::new(), shared };
        for _ in 0..THREADS {
            let (path, receiver) = (path.to_path_buf(), receiver.clone());
            let thread = std::thread::Builder::new().name("nq-sqlite-read".into());
            readers.threads.push(thread.spawn(move || run(&path, &receiver))?);
        }
        Ok(readers)
    }

    /// Looks at the file as it is at one moment.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        op: &'static str,
        key: Option<String>,
        look: impl FnOnce(Db<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let shared = self.shared.clone();
        let task: Look = Box::new(move |conn| {
            let looked = conn.and_then(|conn| at_one_moment(conn, look));
            // The file may have been removed, and then others do not see what was read.
            let there = shared.files.get().map_or(Ok(()), Files::check_database);
            let looked = there.and(looked).map_err(|failure| {
                let ends = failure.reach() == Reach::Store;
                let error = failure.report(op, key);
                if ends {
                    shared.end(error.clone());
                }
                error
            });
            // Whoever asked may be gone.
            let _ = reply.send(looked);
        });
        let closed = || StoreError::new(ErrorKind::Closed, op, "the store is closed");
        self.looks.as_ref().ok_or_else(closed)?.send(task).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.looks = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

fn run(path: &Path, looks: &Mutex<Receiver<Look>>) {
    let mut open = None;
    loop {
        // In a statement of its own, so that the lock is free while the look runs.
        let look = looks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(look) = look else { return };
        // Opened by the first look, and again after one that could not be.
        if open.is_none() {
            match open::read_only(path) {
                Ok(conn) => open = Some(conn),
                Err(error) => {
                    look(Err(error.into()));
                    continue;
                }
            }
        }
        if let Some(conn) = &open {
            look(Ok(conn));
        }
    }
}

/// Lets statements see the same moment. The transaction ends with the look: nothing is held across pages.
fn at_one_moment<T>(
    conn: &Connection,
    look: impl FnOnce(Db<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let db = Db(conn);
    db.execute("BEGIN", [])?;
    let looked = look(db);
    if !conn.is_autocommit() {
        db.execute("ROLLBACK", [])?;
    }
    looked
}
