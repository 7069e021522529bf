//! Builds a program and asks it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, Package};
use nq_core::export::RegistryDocument;
use serde_json::Value;

use super::{Program, library};
use crate::cargo::{build, cargo, metadata};
use crate::test::wait;

/// How long a program may take to call `nq::open`.
const LIMIT: Duration = Duration::from_secs(10);

/// The registry of a program.
pub(super) fn ask(program: &Program) -> Result<RegistryDocument> {
    let metadata = metadata(program.manifest_path.as_deref(), false)?;
    std::fs::create_dir_all(folder(&metadata))?;
    let mut command = cargo();
    command.arg("build").arg("--manifest-path").arg(metadata.workspace_root.join("Cargo.toml"));
    if let Some(package) = &program.package {
        command.args(["--package", package]);
    }
    if let Some(features) = &program.features {
        command.args(["--features", features]);
    }
    let name = match (&program.example, &program.bin) {
        (Some(example), _) => {
            command.args(["--example", example]);
            example.clone()
        }
        (None, Some(bin)) => {
            command.args(["--bin", bin]);
            bin.clone()
        }
        (None, None) => {
            let package = package(&metadata, program)?;
            let bins: Vec<_> = package.targets.iter().filter(|target| target.is_bin()).collect();
            match bins.as_slice() {
                [] => {
                    command =
                        library::build(&metadata, package, program.features.as_deref(), &folder(&metadata))?;
                }
                [bin] => drop(command.args(["--bin", &bin.name])),
                bins => {
                    let names = bins.iter().map(|bin| format!("--bin {}", bin.name)).collect::<Vec<_>>();
                    bail!("package `{}` has several programs: add one of {}", package.name, names.join(", "));
                }
            }
            package.name.to_string()
        }
    };
    let built = build(&mut command)?;
    answer(&built, &name, program, &metadata)
}

/// Where answers and programs around libraries are kept.
fn folder(metadata: &Metadata) -> PathBuf {
    metadata.target_directory.join("xtask/registry").into_std_path_buf()
}

/// The package that is named, if it is there.
fn package<'a>(metadata: &'a Metadata, program: &Program) -> Result<&'a Package> {
    let Some(name) = &program.package else {
        let targets = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
        let programs = targets.filter_map(|target| match () {
            () if target.is_example() => Some(format!("--example {}", target.name)),
            () if target.is_bin() && target.name != "xtask" => Some(format!("--bin {}", target.name)),
            () => None,
        });
        bail!("say which program: {}, or -p PACKAGE", programs.collect::<Vec<_>>().join(", "));
    };
    let found = metadata.workspace_packages().into_iter().find(|package| package.name == *name);
    found.with_context(|| format!("there is no package `{name}` in the workspace"))
}

/// Runs the program until it has answered.
fn answer(built: &Path, name: &str, program: &Program, metadata: &Metadata) -> Result<RegistryDocument> {
    let file = folder(metadata).join(format!("{name}.{}.json", std::process::id()));
    let mut command = Command::new(built);
    command.args(&program.args).current_dir(&metadata.workspace_root).env("NQ_REGISTRY", &file);
    // The program's own output is not the registry.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let status = wait(&mut child, LIMIT)?;
    let text = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    match (text, status) {
        (Ok(text), _) => {
            let value: Value = serde_json::from_str(&text)?;
            if let Some(error) = value["error"].as_str() {
                bail!("`{name}` has no registry: {error}");
            }
            let mut document = RegistryDocument::parse(&text)?;
            for worker in &mut document.workers {
                worker.file = place(&worker.file, metadata.workspace_root.as_str());
            }
            Ok(document)
        }
        (Err(_), None) => bail!(
            "`{name}` did not call `nq::open` within {} s and was ended: a program is asked where it opens its store; \
             arguments that lead it there stand after `--`",
            LIMIT.as_secs()
        ),
        (Err(_), Some(status)) => bail!(
            "`{name}` ended ({status}) before it called `nq::open`: a program is asked where it opens its store; \
             arguments that lead it there stand after `--`"
        ),
    }
}

/// A source file without what differs from machine to machine: rustc names those of the workspace that it works
/// in relative to it, and all others from the root of the disk.
fn place(file: &str, workspace: &str) -> String {
    if let Some(below) = Path::new(file).strip_prefix(workspace).ok().and_then(Path::to_str) {
        return below.replace('\\', "/");
    }
    // Cargo's folders of downloaded sources, each with one more folder by the place of origin.
    let downloaded = ["/registry/src/", "/git/checkouts/"].iter().find_map(|folder| file.split_once(folder));
    downloaded.and_then(|(_, rest)| rest.split_once('/')).map_or(file, |(_, rest)| rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_source_file_is_named_the_same_on_each_machine() {
        for (file, expected) in [
            ("examples/hello.rs", "examples/hello.rs"),
            ("/me/shop/src/main.rs", "src/main.rs"),
            (
                "/me/.cargo/registry/src/index.crates.io-1a2b/parcels-1.0.0/src/lib.rs",
                "parcels-1.0.0/src/lib.rs",
            ),
            ("/srv/other/src/lib.rs", "/srv/other/src/lib.rs"),
        ] {
            assert_eq!(place(file, "/me/shop"), expected);
        }
    }
}
