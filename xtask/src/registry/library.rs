//! Makes a program around a library, since only a program can be asked for its registry.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, Package};

use crate::cargo::{cargo, root};

/// Writes a program that includes the library, and returns the command that builds it.
pub(super) fn build(
    metadata: &Metadata,
    package: &Package,
    features: Option<&str>,
    folder: &Path,
) -> Result<Command> {
    let library = package.targets.iter().find(|target| target.is_lib());
    let library =
        library.with_context(|| format!("package `{}` has neither a program nor a library", package.name))?;
    let folder = folder.join(package.name.as_str());
    std::fs::create_dir_all(folder.join("src"))?;

    let own = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    let features: Vec<_> =
        features.unwrap_or_default().split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let name = &package.name;
    let manifest = format!(
        "[package]\nname = \"{name}-registry\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         nq = {{ path = {} }}\n{name} = {{ path = {}, features = {} }}\n",
        serde_json::to_string(root())?,
        serde_json::to_string(own)?,
        serde_json::to_string(&features)?,
    );
    let module = library.name.replace('-', "_");
    let main = format!(
        "//! Links `{name}`, so that it can be asked for its registry.\n\nnq::registry!(include = [{module}]);\n\n\
         fn main() {{\n    nq::__private::answer();\n}}\n"
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("src/main.rs"), &main)?;
    // The same versions as in the workspace, so that nothing is fetched and little is built.
    std::fs::copy(metadata.workspace_root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let mut command = cargo();
    command.arg("build").arg("--manifest-path").arg(folder.join("Cargo.toml"));
    command.arg("--target-dir").arg(&metadata.target_directory);
    Ok(command)
}

/// Writes a file, unless it is there: cargo builds again what is newer.
fn write(file: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(file).is_ok_and(|known| known == text) {
        return Ok(());
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
