//! The flow: its events and its workers.
//!
//! ```text
//! read_lockfile ─┬─ PackageLocked ×n ─→ inspect ×n ─ PackageInspected ×n ─→ summarise ─ Summarised ─┬─→ report
//!                └─ LockfileRead ─→ find_duplicates ─ DuplicatesFound ──────────────────────────────┘
//! ```
//!
//! A worker may be killed in the middle of every package, so each has a large `max_crashes`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nq::prelude::*;

use crate::lockfile::{Locked, Lockfile, LockfileError};
use crate::report::{Duplicate, Finding, Inspected, Report, duplicates};
use crate::{measure, source};

/// Someone wants to know what a lock file brings in.
#[nq::event]
pub(crate) struct AuditRequested {
    /// The absolute path of the lock file.
    pub(crate) lockfile: String,
    /// The hash of its content.
    pub(crate) hash: String,
}

/// The lock file was read.
#[nq::event]
pub(crate) struct LockfileRead {
    /// All of its packages.
    pub(crate) packages: Vec<Locked>,
}

/// The lock file names a package.
#[nq::event]
pub(crate) struct PackageLocked {
    /// The package.
    pub(crate) package: Locked,
    /// The directory of the lock file, where its own packages are.
    pub(crate) project: String,
}

/// A package was inspected.
#[nq::event]
pub(crate) struct PackageInspected {
    /// What came out.
    pub(crate) inspected: Inspected,
}

/// Every package was inspected.
#[nq::event]
pub(crate) struct Summarised {
    /// The packages, by name and version.
    pub(crate) packages: Vec<Inspected>,
}

/// The packages that are there in several versions were found.
#[nq::event]
pub(crate) struct DuplicatesFound {
    /// These packages, by name.
    pub(crate) duplicates: Vec<Duplicate>,
}

/// Where and how this process inspects.
#[derive(Clone, Debug)]
pub(crate) struct Inspector {
    /// Cargo's home.
    pub(crate) cargo_home: PathBuf,
    /// How much longer each inspection takes than it must, so that tests can interrupt it.
    pub(crate) delay: Duration,
}

/// Reads the lock file, and says what is in it: once as a whole, and once for each package.
#[nq::worker(flow = "audit", emits = [LockfileRead, PackageLocked], timeout = "5m", max_crashes = 1000)]
pub(crate) async fn read_lockfile(asked: AuditRequested, ctx: Ctx<read_lockfile>) -> nq::Result<()> {
    let AuditRequested { lockfile: path, hash } = asked;
    let read = blocking(move || Lockfile::read_unchanged(Path::new(&path), &hash)).await?;
    let lockfile = read.map_err(|error| match error {
        // The file may be readable on the next attempt.
        LockfileError::Unreadable { .. } => nq::Error::from(error),
        other => nq::Error::fatal(other),
    })?;
    let project = lockfile.path.parent().unwrap_or(Path::new("/")).display().to_string();
    ctx.state().set("packages", &lockfile.packages.len())?;
    for package in lockfile.packages.clone() {
        ctx.emit(PackageLocked { package, project: project.clone() })?;
    }
    ctx.emit(LockfileRead { packages: lockfile.packages })?;
    Ok(())
}

/// How many more attempts an inspection gets before the report says that the package cannot be read.
const RETRIES: u32 = 3;

/// Finds the source of a package and measures it.
#[nq::worker(
    flow = "audit",
    subscribes = [PackageLocked],
    emits = [PackageInspected],
    concurrency = 8,
    retries = 3,
    backoff = exponential("100ms", max = "2s"),
    timeout = "5m", max_crashes = 1000
)]
pub(crate) async fn inspect(
    locked: PackageLocked,
    ctx: Ctx<inspect>,
    inspector: Data<Inspector>,
) -> nq::Result<()> {
    tokio::time::sleep(inspector.delay).await;
    let PackageLocked { package, project } = locked;
    let Locked { name, version, origin, .. } = package.clone();
    let found = blocking(move || -> std::io::Result<Finding> {
        Ok(match source::find(&inspector.cargo_home, Path::new(&project), &package)? {
            Ok(directory) => Finding::Measured(measure::measure(&directory)?),
            Err(why) => Finding::NotFound { why },
        })
    });
    let finding = match found.await? {
        Ok(finding) => finding,
        // Cargo may be unpacking it just now.
        Err(error) if ctx.attempt() <= RETRIES => return Err(error.into()),
        Err(error) => Finding::NotFound { why: format!("not readable: {error}") },
    };
    ctx.state().incr("inspected", 1)?;
    match &finding {
        Finding::Measured(measure) => ctx.state().incr("lines", measure.lines as i64)?,
        Finding::NotFound { why } => {
            tracing::warn!(name, version, why, "no source to inspect");
            ctx.state().incr("withoutSource", 1)?;
        }
    }
    ctx.emit(PackageInspected { inspected: Inspected { name, version, origin, finding } })?;
    Ok(())
}

/// Sorts the inspections when the last one is there.
#[nq::worker(flow = "audit", gathers = [PackageInspected], emits = [Summarised], timeout = "5m", max_crashes = 1000)]
pub(crate) async fn summarise(all: Vec<PackageInspected>, ctx: Ctx<summarise>) -> nq::Result<()> {
    let mut packages: Vec<_> = all.into_iter().map(|one| one.inspected).collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    ctx.emit(Summarised { packages })?;
    Ok(())
}

/// Finds what is built in several versions, and who asks for each.
#[nq::worker(flow = "audit", subscribes = [LockfileRead], emits = [DuplicatesFound], timeout = "5m", max_crashes = 1000)]
pub(crate) async fn find_duplicates(read: LockfileRead, ctx: Ctx<find_duplicates>) -> nq::Result<()> {
    ctx.emit(DuplicatesFound { duplicates: duplicates(&read.packages) })?;
    Ok(())
}

/// Joins both halves into the report, which is the result of the run. Whoever asked for the audit prints it
/// and writes it to a file: this step may well run in another process.
#[nq::worker(flow = "audit", joins = [Summarised, DuplicatesFound], timeout = "5m", max_crashes = 1000)]
pub(crate) async fn report((summary, found): (Summarised, DuplicatesFound)) -> nq::Result<Report> {
    Ok(Report { packages: summary.packages, duplicates: found.duplicates })
}

/// Runs blocking code on a thread that is made for it.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> nq::Result<T> {
    Ok(tokio::task::spawn_blocking(act).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::Origin;

    const LOCK: &str = "version = 4\n[[package]]\nname = \"near\"\nversion = \"1.0.0\"\n";

    fn project() -> (tempfile::TempDir, Lockfile) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Cargo.lock"), LOCK).unwrap();
        let lockfile = Lockfile::read(dir.path()).unwrap();
        (dir, lockfile)
    }

    fn asked(lockfile: &Lockfile) -> AuditRequested {
        AuditRequested { lockfile: lockfile.path.display().to_string(), hash: lockfile.hash.clone() }
    }

    #[tokio::test]
    async fn each_package_is_said_once() {
        let (_dir, lockfile) = project();
        let ctx = Ctx::for_test();
        read_lockfile(asked(&lockfile), ctx.clone()).await.unwrap();
        let [one] = &ctx.emitted::<PackageLocked>()[..] else { panic!("one package is locked") };
        assert_eq!(one.package, lockfile.packages[0]);
        assert_eq!(ctx.emitted::<LockfileRead>()[0].packages, lockfile.packages);
        assert_eq!(ctx.state().get::<u32>("packages").await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn a_lock_file_that_went_bad_after_the_start_is_not_tried_again() {
        let (dir, lockfile) = project();
        let cases: [(&[u8], &str); 3] =
            [(b"", "is empty"), (b"\0", "binary data"), (b"version = 4", "has changed")];
        for (content, expected) in cases {
            std::fs::write(dir.path().join("Cargo.lock"), content).unwrap();
            let error = read_lockfile(asked(&lockfile), Ctx::for_test()).await.unwrap_err();
            assert!(error.is_fatal() && error.report().contains(expected), "{error:?}");
        }
        std::fs::remove_file(dir.path().join("Cargo.lock")).unwrap();
        let error = read_lockfile(asked(&lockfile), Ctx::for_test()).await.unwrap_err();
        assert!(error.is_fatal() && error.report().contains("there is no lock file"), "{error:?}");
    }

    #[tokio::test]
    async fn what_has_no_source_is_reported_and_logged() {
        let (dir, lockfile) = project();
        let inspector = Inspector { cargo_home: dir.path().into(), delay: Duration::ZERO };
        let mut package = lockfile.packages[0].clone();
        package.origin = Origin::Registry { registry: "crates.io".into() };
        let locked = PackageLocked { package, project: dir.path().display().to_string() };
        let ctx = Ctx::for_test();
        inspect(locked, ctx.clone(), Data::new(inspector)).await.unwrap();
        let finding = &ctx.emitted::<PackageInspected>()[0].inspected.finding;
        assert_eq!(finding, &Finding::NotFound { why: "not unpacked: run `cargo fetch`".into() });
        assert_eq!(ctx.state().get::<u32>("withoutSource").await.unwrap(), Some(1));
    }
}
