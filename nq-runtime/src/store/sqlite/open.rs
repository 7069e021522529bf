//! Opens the file: checks that it is nq's and that this process may open it, and sets up its connections.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::db::Db;
use super::errors::Failure;
use super::files::Files;
use super::locks::{Admission, Locks};
use super::migrate::migrate;
use super::options::SqliteOptions;
use super::reserve::is_full;
use super::schema::{self, APPLICATION_ID, FORMAT};
use super::shared::{Clock, Shared};

/// The first SQLite that several processes may share a file with: older ones can damage a write-ahead log
/// that two processes begin anew at once.
const SHARING_SINCE: i32 = 3_051_003;
/// How long to wait for a program that does not use the turnstile, such as a shell.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS: usize = 96;

/// What the writer works with.
pub(super) struct Setup {
    pub(super) options: SqliteOptions,
    /// The version of SQLite, as a number.
    pub(super) sqlite: i32,
    /// The length of a write-ahead log that is brought into the database.
    pub(super) log_bytes: u64,
    pub(super) clock: Clock,
}

/// Whether several processes may share a file with this version of SQLite.
pub(super) fn may_share(sqlite: i32) -> bool {
    sqlite >= SHARING_SINCE
}

fn error(kind: ErrorKind, path: &Path, message: impl Into<String>) -> StoreError {
    StoreError::new(kind, "open", message).with_key(path.display())
}

/// A failure of the operating system at this path.
pub(super) fn system(path: &Path, what: &str, cause: io::Error) -> StoreError {
    let message = match cause.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{what}: the file system is read-only; nq must be able to write there")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{what}: permission denied; nq must be able to read and write the file and its directory")
        }
        _ => format!("{what}: {cause}"),
    };
    let passes = is_full(&cause) || lacks_descriptors(&cause);
    let kind = if passes { ErrorKind::Unavailable } else { ErrorKind::Config };
    error(kind, path, message).with_source(cause)
}

/// Opens everything that the writing thread needs. If the disk is full to the last byte, it gives up the room that is kept
/// for a checkpoint.
pub(super) fn all(setup: &Setup, shared: &Shared) -> Result<(PathBuf, Locks, Connection), StoreError> {
    let path = find(&setup.options.path)?;
    let open = || {
        inspect(&path)?;
        let locks = admit(&path, setup.sqlite)?;
        let failed = |error| Failure::Lock(error).report("open", None).with_key(path.display());
        let turn = locks.enter().map_err(failed)?;
        let conn = read_write(&path, setup.log_bytes)?;
        locks.appear().map_err(failed)?;
        drop(turn);
        Ok((locks, conn))
    };
    let opened: Result<_, StoreError> = open();
    let (locks, conn) = match opened {
        Err(error)
            if error.kind() == ErrorKind::Unavailable
                && fs::remove_file(beside(&path, "-reserve")).is_ok() =>
        {
            open()?
        }
        opened => opened?,
    };
    let others = [beside(&path, "-shm"), locks.own_path()];
    let files = Files::know(&path, beside(&path, "-wal"), others);
    let _ = shared.files.set(files.map_err(|cause| system(&path, "its files cannot be found", cause))?);
    Ok((path, locks, conn))
}

/// Whether this process, or the system, has too many files open.
fn lacks_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Makes the file if it is not there, for its owner alone, and returns its real path.
pub(super) fn find(path: &Path) -> Result<PathBuf, StoreError> {
    if path.as_os_str().is_empty() {
        return Err(error(ErrorKind::Config, path, "no path is given; write `sqlite:orders.db`"));
    }
    if path.is_dir() {
        return Err(error(ErrorKind::Config, path, "this is a directory; name a file in it"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let message = format!("there is no directory `{}`; make it first", parent.display());
        return Err(error(ErrorKind::Config, path, message));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // A file is not safe on the disk before its name is.
        Ok(_) => {
            let synced = File::open(parent).and_then(|dir| if cfg!(unix) { dir.sync_all() } else { Ok(()) });
            synced.map_err(|cause| system(path, "its directory cannot be written", cause))?;
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
        Err(cause) => return Err(system(path, "the file cannot be made", cause)),
    }
    let path = fs::canonicalize(path).map_err(|cause| system(path, "the file cannot be found", cause))?;
    if !path.is_file() {
        return Err(error(ErrorKind::Config, &path, "this is not a regular file"));
    }
    Ok(path)
}

/// Checks that the file is nq's. A file that is not is left alone, and nothing is put beside it.
///
/// It is SQLite that looks: a file that this process opened by itself would, when it is closed, take away
/// the locks that SQLite holds on it for another store of this process.
pub(super) fn inspect(path: &Path) -> Result<(), StoreError> {
    let has_log = beside(path, "-wal").exists();
    let conn = connect(path)?;
    // An existing log belongs to another program: to close the last connection would bring it into the file.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)
        .map_err(|error| cannot(path, error))?;
    is_new(Db(&conn), path).map(drop)
}

/// A connection that can write.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| cannot(path, error))?;
    prepare(&conn).map_err(|error| cannot(path, error))?;
    Ok(conn)
}

fn cannot(path: &Path, failure: impl Into<Failure>) -> StoreError {
    // SQLite does not say why it cannot open a file; that there are too many open ones passes.
    if let Err(cause) = File::open(path.parent().unwrap_or(path))
        && lacks_descriptors(&cause)
    {
        return system(path, "the file cannot be opened", cause);
    }
    failure.into().report("open", None).with_key(path.display())
}

const FOREIGN: &str = "this SQLite database is not nq's; it was left as it is: give nq a file of its own";

/// The path of what lies beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the locks beside the file, unless another process does not allow it.
pub(super) fn admit(path: &Path, sqlite: i32) -> Result<Locks, StoreError> {
    let name = format!("{:016x}", fastrand::u64(..));
    match Locks::open(&beside(path, "-locks"), &name, !may_share(sqlite)) {
        Ok(Admission::Admitted(locks)) => Ok(locks),
        Ok(Admission::Refused) => {
            let version = format!("{}.{}.{}", sqlite / 1_000_000, sqlite / 1_000 % 1_000, sqlite % 1_000);
            let message = format!(
                "another process has the database open, and one of the two uses an SQLite older than 3.51.3, \
                 which can damage a database that two processes write; this one uses {version}"
            );
            Err(error(ErrorKind::Config, path, message))
        }
        Err(cause) => Err(system(path, "the directory of locks beside it cannot be used", cause)),
    }
}

/// Opens the connection that writes, and makes the tables in a new file. Called within the turnstile.
fn read_write(path: &Path, log_bytes: u64) -> Result<Connection, StoreError> {
    let mut conn = connect(path)?;
    // SQLite does not fail to open what it may only read.
    conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| cannot(path, error))?;
    if is_new(Db(&conn), path)? {
        create(&conn).map_err(|error| cannot(path, error))?;
    } else {
        migrate(&mut conn).map_err(|error| cannot(path, error))?;
    }
    log_ahead(&conn, log_bytes).map_err(|error| cannot(path, error))?;
    Ok(conn)
}

/// Opens a connection that reads.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    conn.execute_batch("PRAGMA query_only = on")?;
    Ok(conn)
}

/// Whether the file is empty. Refuses one that is another's, or of a newer nq.
fn is_new(db: Db<'_>, path: &Path) -> Result<bool, StoreError> {
    // One statement, so that another process which makes the tables has made all of them or none.
    let sql = "SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema) \
               FROM pragma_application_id a, pragma_user_version v";
    let found = db.first(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (application, format, tables): (i64, i64, i64) =
        found.map_err(|failure| cannot(path, failure))?.unwrap_or_default();
    if application == 0 && format == 0 && tables == 0 {
        return Ok(true);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(error(ErrorKind::Version, path, FOREIGN));
    }
    if format > FORMAT {
        let writer = db.first("SELECT value FROM meta WHERE key = 'nq'", [], |row| Ok(row.get(0)?));
        let writer: String = writer.ok().flatten().unwrap_or_else(|| "version".into());
        let message = format!(
            "a newer nq wrote this database (nq {writer}, format {format}); this is nq {}, which knows formats \
             up to {FORMAT}: use the newer one",
            env!("CARGO_PKG_VERSION")
        );
        return Err(error(ErrorKind::Version, path, message));
    }
    Ok(false)
}

/// What every connection needs.
fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else SQLite plans a statement anew for each value that is bound to it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch("PRAGMA trusted_schema = off; PRAGMA cell_size_check = on")
}

/// Makes the tables, in one transaction and before the write-ahead log begins: so that the file itself says
/// that it is nq's from the moment at which it has any content.
fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "PRAGMA synchronous = full; BEGIN EXCLUSIVE; {}
         INSERT INTO meta VALUES ('nq', '{}');
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT",
        schema::tables(),
        env!("CARGO_PKG_VERSION")
    ))
}

/// A write-ahead log, synchronised with every commit, brought into the file by the writer when it is time.
fn log_ahead(conn: &Connection, log_bytes: u64) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA temp_store = memory; PRAGMA cache_size = -32768;
         PRAGMA fullfsync = on; PRAGMA checkpoint_fullfsync = on",
    )?;
    conn.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    conn.execute_batch(&format!(
        "PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {}",
        2 * log_bytes
    ))?;
    // SQLite makes the files of the log with the first read.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}
