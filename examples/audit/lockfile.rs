//! Reading a `Cargo.lock`: its packages and what requires what, or an error that says how to get a good one.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A package as the lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Locked {
    /// Its name.
    pub(crate) name: String,
    /// Its exact version.
    pub(crate) version: String,
    /// Where cargo gets it from.
    pub(crate) origin: Origin,
    /// The packages that it requires, as positions in the lock file's list.
    pub(crate) requires: Vec<usize>,
}

/// Where cargo gets a package from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum Origin {
    /// A registry, by the name that people know it by: `crates.io`.
    Registry {
        /// The name.
        registry: String,
    },
    /// A commit of a git repository.
    Git {
        /// The repository.
        url: String,
        /// The commit, if the lock file names it.
        commit: Option<String>,
    },
    /// A directory: a member of the workspace, or a path dependency.
    Path,
}

impl Origin {
    /// A word for tables.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Registry { registry } => registry,
            Self::Git { .. } => "git",
            Self::Path => "path",
        }
    }
}

/// A lock file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Lockfile {
    /// Its absolute path.
    pub(crate) path: PathBuf,
    /// Changes when its content does.
    pub(crate) hash: String,
    /// Its packages, in its order: by name.
    pub(crate) packages: Vec<Locked>,
}

/// A lock file could not be read. Each message names the cause, then the way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockfileError {
    /// There is none.
    #[error(
        "there is no lock file at `{0}`\nhelp: `cargo generate-lockfile` writes one; or give the path of another: `audit PATH`"
    )]
    Missing(PathBuf),
    /// The operating system cannot read it.
    #[error("the lock file `{path}` cannot be read\nhelp: check its owner and rights")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing is in it.
    #[error("the lock file `{0}` is empty\nhelp: remove it, and `cargo generate-lockfile` writes a new one")]
    Empty(PathBuf),
    /// It is not a text file.
    #[error(
        "`{path}` is not a lock file but binary data: byte {at} is no text\nhelp: give the path of a `Cargo.lock`; if this is one, it was damaged: get it back from version control, or remove it and run `cargo generate-lockfile`"
    )]
    Binary {
        /// Which.
        path: PathBuf,
        /// The position of the first byte that is no text.
        at: usize,
    },
    /// It is of a version that this program does not know.
    #[error(
        "the lock file `{path}` has version {found}, and this program reads the versions 1 to {NEWEST}\nhelp: a newer cargo wrote it: use a newer `audit`, or let an older cargo write the file: `cargo +stable generate-lockfile`"
    )]
    UnknownVersion {
        /// Which.
        path: PathBuf,
        /// The version that it says.
        found: i64,
    },
    /// It is a text that cargo would not write.
    #[error(
        "`{path}` is not a lock file that cargo would write: {why}\nhelp: after a merge conflict, take either side and run `cargo update --workspace`; else get it back from version control"
    )]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        why: String,
    },
    /// It has changed since the audit was started.
    #[error(
        "the lock file `{0}` has changed since this audit was started\nhelp: start the audit again: it begins a new run"
    )]
    Changed(PathBuf),
}

/// The newest version of lock files that there is a reader for.
const NEWEST: i64 = 4;

impl Lockfile {
    /// Reads the lock file at this path, or in this directory.
    pub(crate) fn read(path: &Path) -> Result<Self, LockfileError> {
        let path = if path.is_dir() { path.join("Cargo.lock") } else { path.to_owned() };
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => LockfileError::Missing(path.clone()),
            _ => LockfileError::Unreadable { path: path.clone(), source },
        };
        let bytes = std::fs::read(&path).map_err(unreadable)?;
        let path = path.canonicalize().map_err(unreadable)?;
        let hash = hash(&bytes);
        let packages = parse(&path, bytes)?;
        Ok(Self { path, hash, packages })
    }

    /// Reads it again in a step. An error if it has changed since the audit was started.
    pub(crate) fn read_unchanged(path: &Path, hash: &str) -> Result<Self, LockfileError> {
        let lockfile = Self::read(path)?;
        if lockfile.hash == hash { Ok(lockfile) } else { Err(LockfileError::Changed(path.to_owned())) }
    }

    /// The id of an audit of this file: the same for the same content at the same place.
    pub(crate) fn run_id(&self) -> String {
        format!("audit-{}", hash(format!("{}\n{}", self.path.display(), self.hash).as_bytes()))
    }
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Vec<Locked>, LockfileError> {
    let malformed = |why: String| LockfileError::Malformed { path: path.to_owned(), why };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(LockfileError::Empty(path.to_owned()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(LockfileError::Binary { path: path.to_owned(), at });
    }
    let text = String::from_utf8(bytes).map_err(|error| LockfileError::Binary {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    // Read the version first: a newer file may not parse, and its version says why.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| malformed(said(&text, &error)))?;
    let version = table.get("version").and_then(toml::Value::as_integer);
    if let Some(found) = version.filter(|version| !(1..=NEWEST).contains(version)) {
        return Err(LockfileError::UnknownVersion { path: path.to_owned(), found });
    }
    if version.is_none() && !table.contains_key("package") {
        return Err(malformed("it has neither a version nor packages".into()));
    }
    let lock: cargo_lock::Lockfile =
        text.parse().map_err(|error: cargo_lock::Error| malformed(one_line(&error.to_string())))?;
    Ok(packages(&lock))
}

/// What a TOML error says, without the picture of the place.
fn said(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.lines().count().max(1));
    let message = one_line(error.message());
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn packages(lock: &cargo_lock::Lockfile) -> Vec<Locked> {
    let key =
        |name: &cargo_lock::Name, version: &cargo_lock::Version| (name.to_string(), version.to_string());
    let positions: HashMap<_, _> = lock
        .packages
        .iter()
        .enumerate()
        .map(|(at, package)| (key(&package.name, &package.version), at))
        .collect();
    let locked = |package: &cargo_lock::Package| Locked {
        name: package.name.to_string(),
        version: package.version.to_string(),
        origin: origin(package.source.as_ref()),
        requires: package
            .dependencies
            .iter()
            .filter_map(|required| positions.get(&key(&required.name, &required.version)).copied())
            .collect(),
    };
    lock.packages.iter().map(locked).collect()
}

fn origin(source: Option<&cargo_lock::SourceId>) -> Origin {
    match source {
        Some(source) if source.is_git() => {
            Origin::Git { url: source.url().to_string(), commit: source.precise().map(ToOwned::to_owned) }
        }
        Some(source) if source.is_registry() => Origin::Registry { registry: source.display_registry_name() },
        _ => Origin::Path,
    }
}

/// FNV-1a: the standard library's hash may differ between releases, and run ids are kept.
fn hash(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Lockfile, LockfileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Cargo.lock");
        std::fs::write(&path, content).unwrap();
        Lockfile::read(&path)
    }

    fn error(content: &[u8]) -> String {
        read(content).unwrap_err().to_string()
    }

    const LOCK: &str = r#"
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["far", "near 1.0.0", "near 2.0.0"]

[[package]]
name = "far"
version = "0.3.0"
source = "git+https://example.com/far?branch=main#0123456789abcdef0123456789abcdef01234567"

[[package]]
name = "near"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "near"
version = "2.0.0"
source = "sparse+https://crates.example.com/index/"
dependencies = ["far"]
"#;

    #[test]
    fn packages_have_their_origin_and_what_they_require() {
        let packages = read(LOCK.as_bytes()).unwrap().packages;
        let row = |package: &Locked| {
            format!("{} {} {} {:?}", package.name, package.version, package.origin.label(), package.requires)
        };
        let rows: Vec<_> = packages.iter().map(row).collect();
        assert_eq!(
            rows,
            [
                "app 0.1.0 path [1, 2, 3]",
                "far 0.3.0 git []",
                "near 1.0.0 crates.io []",
                "near 2.0.0 https://crates.example.com/index/ [1]"
            ]
        );
        let Origin::Git { commit, .. } = &packages[1].origin else { panic!("{:?}", packages[1]) };
        assert_eq!(commit.as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
    }

    #[test]
    fn what_is_no_lock_file_is_refused_with_cause_and_way_out() {
        let missing = Lockfile::read(Path::new("no/such/Cargo.lock")).unwrap_err().to_string();
        let cases: &[(&str, String, &str)] = &[
            (
                "missing",
                missing,
                "there is no lock file at `no/such/Cargo.lock`\nhelp: `cargo generate-lockfile`",
            ),
            ("empty", error(b""), "is empty\nhelp: remove it"),
            ("blank", error(b" \n\n"), "is empty\nhelp: remove it"),
            (
                "zero bytes",
                error(b"version = 4\n\0\0"),
                "binary data: byte 12 is no text\nhelp: give the path",
            ),
            ("not UTF-8", error(b"ab\xff\xfe"), "binary data: byte 2 is no text\nhelp: give the path"),
            (
                "newer",
                error(b"version = 9\n"),
                "has version 9, and this program reads the versions 1 to 4\nhelp: a newer",
            ),
            ("conflict", error(b"version = 4\n<<<<<<< ours\n"), "line 2: "),
            ("manifest", error(b"[package]\nname = \"x\"\n"), "is not a lock file that cargo would write"),
            (
                "other",
                error(b"x = 1\n"),
                "it has neither a version nor packages\nhelp: after a merge conflict",
            ),
            (
                "half a package",
                error(b"version = 4\n[[package]]\nname = \"x\"\n"),
                "is not a lock file that cargo would write: parse error",
            ),
        ];
        for (case, message, expected) in cases {
            assert!(message.contains(expected), "{case}: {message}");
        }
    }

    #[test]
    fn a_lock_file_of_no_packages_is_one() {
        assert!(read(b"version = 4\n").unwrap().packages.is_empty());
    }

    #[test]
    fn the_run_id_follows_content_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let write = |place: &str, content: &str| {
            let dir = dir.path().join(place);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("Cargo.lock"), content).unwrap();
            Lockfile::read(&dir).unwrap()
        };
        let first = write("a", LOCK);
        assert_eq!(first.run_id(), write("a", LOCK).run_id());
        assert_ne!(first.run_id(), write("b", LOCK).run_id());
        let changed = write("a", "version = 4\n");
        assert_ne!(first.run_id(), changed.run_id());
        let error = Lockfile::read_unchanged(&changed.path, &first.hash).unwrap_err().to_string();
        assert!(error.contains("has changed since this audit was started"), "{error}");
    }
}
