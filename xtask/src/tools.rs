//! Programs that tests need beside cargo: found, or installed where that is possible without asking.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Where a program is, by the search path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Whether cargo has this subcommand.
pub(crate) fn has_cargo(subcommand: &str) -> bool {
    find(&format!("cargo-{subcommand}")).is_some()
}

/// Finds one of these programs, or installs the Debian package that brings one.
pub(crate) fn need(programs: &[&str], package: &str) -> Result<()> {
    let found = || programs.iter().any(|program| find(program).is_some());
    if found() {
        return Ok(());
    }
    if is_root() && find("apt-get").is_some() {
        println!("installing {package}");
        let quiet = |args: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
            apt.status().is_ok_and(|status| status.success())
        };
        let install = ["install", "-y", "--no-install-recommends", package];
        // The list of packages may be missing or old.
        if (quiet(&install) || (quiet(&["update"]) && quiet(&install))) && found() {
            return Ok(());
        }
    }
    let programs = programs.join("` or `");
    bail!("the tests need `{programs}`: install it (Debian, Ubuntu: `apt-get install {package}`)");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
