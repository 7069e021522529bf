//! Builds a program and asks it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, Package};
use nq_core::export::RegistryDocument;
use serde_json::Value;

use super::{Program, library};
use crate::cargo::{build, cargo, metadata, root};
use crate::test::wait;

/// How long a program may take to call `nq::open`.
const LIMIT: Duration = Duration::from_secs(10);

/// The registry of a program.
pub(super) fn ask(program: &Program) -> Result<RegistryDocument> {
    let metadata = metadata(false)?;
    let folder = metadata.target_directory.join("xtask/registry").into_std_path_buf();
    std::fs::create_dir_all(&folder)?;
    let mut command = cargo();
    command.arg("build");
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
                [] => command = library::build(&metadata, package, program.features.as_deref(), &folder)?,
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
    answer(&built, &name, &program.args, &folder)
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
fn answer(program: &Path, name: &str, args: &[String], folder: &Path) -> Result<RegistryDocument> {
    let file = folder.join(format!("{name}.{}.json", std::process::id()));
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).env("NQ_REGISTRY", &file);
    // What it prints is not the registry.
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
            Ok(RegistryDocument::parse(&text)?)
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
