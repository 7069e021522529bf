//! Finding the unpacked source of a package: in Cargo's home, or beside the lock file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::lockfile::{Locked, Origin};

/// Cargo's home: what `$CARGO_HOME` says, else `~/.cargo`.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    set.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// The directory of a package's source, or why there is none.
pub(crate) fn find(home: &Path, project: &Path, package: &Locked) -> io::Result<Result<PathBuf, String>> {
    // Name and version become part of a path, and nobody vouches for a lock file.
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "-_.+".contains(c));
    if !plain(&package.name) || !plain(&package.version) {
        return Ok(Err("no package can have this name".into()));
    }
    let (found, otherwise) = match &package.origin {
        Origin::Registry { .. } => (in_registries(home, package)?, "not unpacked: run `cargo fetch`"),
        Origin::Git { url, commit } => {
            (in_checkouts(home, package, url, commit.as_deref())?, "not checked out: run `cargo fetch`")
        }
        Origin::Path => (in_project(project, &package.name), "not beneath the lock file"),
    };
    Ok(found.ok_or_else(|| otherwise.to_owned()))
}

fn in_registries(home: &Path, package: &Locked) -> io::Result<Option<PathBuf>> {
    let directory = format!("{}-{}", package.name, package.version);
    let registries = directories(&home.join("registry/src"))?;
    Ok(registries.into_iter().map(|registry| registry.join(&directory)).find(|path| is_package(path)))
}

/// A checkout is at `git/checkouts/<repository>-<hash>/<beginning of the commit>`.
fn in_checkouts(
    home: &Path,
    package: &Locked,
    url: &str,
    commit: Option<&str>,
) -> io::Result<Option<PathBuf>> {
    let Some(commit) = commit else { return Ok(None) };
    let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let repository = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".git");
    let of_repository = |path: &PathBuf| {
        let before_hash = name(path).and_then(|name| name.rsplit_once('-')).map(|(before, _)| before);
        before_hash == Some(repository)
    };
    for repository in directories(&home.join("git/checkouts"))?.into_iter().filter(of_repository) {
        let of_commit = |path: &PathBuf| name(path).is_some_and(|name| commit.starts_with(name));
        for checkout in directories(&repository)?.into_iter().filter(of_commit) {
            if let Some(found) = in_project(&checkout, &package.name) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The package of this name in a directory or beneath it, the nearest first.
fn in_project(project: &Path, package: &str) -> Option<PathBuf> {
    let mut manifests: Vec<_> = WalkDir::new(project)
        .max_depth(5)
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !is_aside(entry.file_name()))
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name() == "Cargo.toml")
        .collect();
    manifests.sort_by(|a, b| (a.depth(), a.path()).cmp(&(b.depth(), b.path())));
    let named = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        let manifest: toml::Table = text.parse().ok()?;
        Some(manifest.get("package")?.get("name")?.as_str()? == package)
    };
    let found = manifests.iter().find(|entry| named(entry.path()) == Some(true))?;
    found.path().parent().map(Path::to_owned)
}

/// Whether a directory is skipped in the search: build output of cargo, or hidden.
pub(crate) fn is_aside(name: &OsStr) -> bool {
    name == "target" || name.as_encoded_bytes().starts_with(b".")
}

fn is_package(path: &Path) -> bool {
    path.join("Cargo.toml").is_file()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The directories in a directory, by name; none if it is not there.
fn directories(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(at: &Path, name: &str) {
        std::fs::create_dir_all(at).unwrap();
        std::fs::write(at.join("Cargo.toml"), format!("[package]\nname = \"{name}\"\n")).unwrap();
    }

    fn locked(name: &str, origin: Origin) -> Locked {
        Locked { name: name.into(), version: "1.0.0".into(), origin, requires: Vec::new() }
    }

    #[test]
    fn sources_are_found_by_origin() {
        let dir = tempfile::tempdir().unwrap();
        let (home, project) = (dir.path().join("home"), dir.path().join("project"));
        let registry = home.join("registry/src/index.example.com-0123/near-1.0.0");
        manifest(&registry, "near");
        let checkout = home.join("git/checkouts/far-off-89ab/0123456");
        manifest(&checkout, "workspace-root");
        manifest(&checkout.join("crates/far"), "far");
        manifest(&home.join("git/checkouts/far-off-89ab/fffffff/far"), "far");
        manifest(&project.join("member"), "member");
        manifest(&project.join("target/package/built"), "built");
        let find = |name: &str, origin| find(&home, &project, &locked(name, origin)).unwrap();
        let registry_origin = || Origin::Registry { registry: "crates.io".into() };
        let git = |commit: &str| Origin::Git {
            url: "https://example.com/you/far-off.git".into(),
            commit: Some(commit.into()),
        };
        assert_eq!(find("near", registry_origin()), Ok(registry));
        assert_eq!(find("far", git("0123456789")), Ok(checkout.join("crates/far")));
        assert_eq!(find("member", Origin::Path), Ok(project.join("member")));
        let missing = [
            ("near2", registry_origin(), "not unpacked: run `cargo fetch`"),
            ("../near", registry_origin(), "no package can have this name"),
            ("far", git("99999999"), "not checked out: run `cargo fetch`"),
            ("built", Origin::Path, "not beneath the lock file"),
        ];
        for (name, origin, why) in missing {
            assert_eq!(find(name, origin), Err(why.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_home_that_is_not_there_holds_nothing() {
        let origin = Origin::Registry { registry: "crates.io".into() };
        let found = find(Path::new("no/home"), Path::new("no/project"), &locked("x", origin)).unwrap();
        assert_eq!(found, Err("not unpacked: run `cargo fetch`".into()));
    }
}
