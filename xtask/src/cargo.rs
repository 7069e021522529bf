//! Runs cargo, in the root of the repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Cargo sets these variables for this package, and they are wrong for the package that is built.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.current_dir(root());
    command
}

/// Runs a command and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    ensure!(status.success(), "`{shown}` failed");
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The packages of a workspace, and with `deep` all that they depend on. It is this workspace, unless another is named.
pub(crate) fn metadata(manifest: Option<&Path>, deep: bool) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest.map_or_else(|| root().join("Cargo.toml"), Path::to_path_buf));
    if !deep {
        command.no_deps();
    }
    Ok(command.exec()?)
}

/// Builds with this command, and returns the program that comes out.
pub(crate) fn build(command: &mut Command) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let shown = shown(command);
    let mut child = command.spawn().with_context(|| format!("`{shown}` could not be started"))?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut program = None;
    for message in Message::parse_stream(std::io::BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message? {
            program = artifact.executable.map(PathBuf::from).or(program);
        }
    }
    ensure!(child.wait()?.success(), "`{shown}` failed");
    let Some(program) = program else { bail!("`{shown}` made no program") };
    Ok(program)
}
