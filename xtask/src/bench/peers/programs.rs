//! The programs that measure: built once, then called for each measurement.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::figures::Figures;
use super::plan::{Contender, Program, Store, Turn};
use crate::cargo::{build, cargo, metadata, root, run as run_command};
use crate::tools;

/// Where their sources are.
const SOURCES: &str = "benches/peers";
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Programs {
    nq: Option<PathBuf>,
    /// The folder of those of the Rust peers.
    rust: Option<PathBuf>,
    /// Node, with the program of BullMQ.
    node: Option<(PathBuf, PathBuf)>,
}

impl Programs {
    /// Builds what these need.
    pub(super) fn build(contenders: &[&Contender]) -> Result<Self> {
        let needs = |is: fn(Program) -> bool| contenders.iter().any(|who| is(who.program));
        let folder = metadata(None, false)?.target_directory.join("xtask/peers").into_std_path_buf();
        let nq = || {
            println!("building nq");
            let bench = ["bench", "--quiet", "--no-run", "--features", "redis", "--bench", "peers"];
            build(cargo().args(bench))
        };
        let rust = || {
            println!("building the Rust peers");
            let manifest = root().join(SOURCES).join("rust/Cargo.toml");
            let mut command = cargo();
            command.args(["build", "--quiet", "--release", "--locked"]);
            command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&folder);
            run_command(&mut command).map(|()| folder.join("release"))
        };
        Ok(Self {
            nq: needs(|program| program == Program::Nq).then(nq).transpose()?,
            rust: needs(|program| matches!(program, Program::Rust(_))).then(rust).transpose()?,
            node: needs(|program| program == Program::Node).then(|| node(&folder)).transpose()?,
        })
    }

    /// Takes one measurement.
    pub(super) fn measure(&self, turn: &Turn, seconds: f64, redis: &str) -> Result<Figures> {
        let mut command = self.command(turn.contender.program)?;
        let folder = tempfile::tempdir()?;
        let store = match turn.contender.store {
            Store::Redis => redis.to_owned(),
            Store::Sqlite => format!("sqlite:{}", folder.path().join("bench.db").display()),
            Store::Memory => "memory:".to_owned(),
        };
        command.args([turn.workload.name, &turn.workload.at.to_string(), &seconds.to_string(), &store]);
        let said = output(&mut command, Duration::from_secs_f64(40.0 + 20.0 * seconds))?;
        let line = said.lines().rfind(|line| line.starts_with('{')).context("it printed no figures")?;
        Ok(serde_json::from_str(line)?)
    }

    fn command(&self, program: Program) -> Result<Command> {
        let missing = "the program is not built";
        Ok(match program {
            Program::Nq => Command::new(self.nq.as_ref().context(missing)?),
            Program::Rust(name) => Command::new(self.rust.as_ref().context(missing)?.join(name)),
            Program::Node => {
                let (node, program) = self.node.as_ref().context(missing)?;
                let mut command = Command::new(node);
                command.arg(program);
                command
            }
        })
    }
}

/// Installs what the program of BullMQ needs, beside a copy of it.
fn node(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let node = tools::find("node")
        .context("BullMQ on Node needs `node`, 20 or newer: install it, or use `--only`")?;
    let npm = tools::find("npm").context("BullMQ on Node needs `npm`: install it, or use `--only`")?;
    let (sources, folder) = (root().join(SOURCES).join("node"), folder.join("node"));
    fs::create_dir_all(&folder)?;
    let lock = "package-lock.json";
    let is_new = fs::read(sources.join(lock))? != fs::read(folder.join(lock)).unwrap_or_default()
        || !folder.join("node_modules").is_dir();
    for file in [lock, "package.json", "bullmq.mjs"] {
        fs::copy(sources.join(file), folder.join(file))?;
    }
    if is_new {
        println!("installing BullMQ");
        let install = ["ci", "--no-audit", "--no-fund", "--loglevel", "error"];
        run_command(Command::new(npm).args(install).current_dir(&folder))?;
    }
    Ok((node, folder.join("bullmq.mjs")))
}

/// What a program prints, unless it fails or takes longer than it may.
fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdout, mut stderr) =
        (child.stdout.take().context("no output")?, child.stderr.take().context("no output")?);
    let errors = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let lines = std::thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).map(|_| said)
    });
    let until = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {:.0} s", limit.as_secs_f64());
        }
        std::thread::sleep(LOOK);
    };
    let errors = errors.join().unwrap_or_default();
    let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    ensure!(status.success(), "{}", last.trim());
    lines.join().ok().context("its output cannot be read")?.context("its output cannot be read")
}

/// The versions in a lock file of cargo.
pub(super) fn locked_crates(lock: &str, names: &[&str]) -> Vec<(String, String)> {
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    let packages = lock.split("[[package]]").filter_map(|package| {
        let mut lines = package.trim().lines();
        let name = value(lines.next()?, "name = ")?;
        Some((name, value(lines.next()?, "version = ")?))
    });
    packages.filter(|(name, _)| names.contains(&name.as_str())).collect()
}

/// The version of a package in a lock file of npm.
pub(super) fn locked_package(lock: &str, name: &str) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_str(lock).ok()?;
    Some(lock["packages"][format!("node_modules/{name}")]["version"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_files() {
        let lock = "version = 4\n\n[[package]]\nname = \"apalis\"\nversion = \"1.0.0\"\nsource = \"x\"\n\n\
                    [[package]]\nname = \"apalis-core\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked_crates(lock, &["apalis", "bb8"]), [("apalis".to_owned(), "1.0.0".to_owned())]);
        let lock = r#"{"packages":{"":{},"node_modules/bullmq":{"version":"6.7.0"}}}"#;
        assert_eq!(locked_package(lock, "bullmq").as_deref(), Some("6.7.0"));
        assert_eq!(locked_package(lock, "ioredis"), None);
    }

    #[test]
    fn the_lock_files_of_the_peers_name_all_of_them() {
        let file = |name: &str| fs::read_to_string(root().join(SOURCES).join(name)).unwrap();
        let crates = locked_crates(&file("rust/Cargo.lock"), &super::super::CRATES);
        let names: Vec<_> = crates.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, super::super::CRATES);
        for name in super::super::PACKAGES {
            assert!(locked_package(&file("node/package-lock.json"), name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_program_that_fails_says_why_in_its_last_line() {
        let run = |script: &str, limit: u64| {
            output(Command::new("sh").args(["-c", script]), Duration::from_secs(limit))
        };
        assert_eq!(run("echo one; echo two", 20).unwrap(), "one\ntwo\n");
        let error = run("echo first >&2; echo 'error: gone' >&2; echo >&2; exit 1", 20).unwrap_err();
        assert_eq!(error.to_string(), "error: gone");
        let error = run("exec sleep 60", 0).unwrap_err();
        assert_eq!(error.to_string(), "it did not end within 0 s");
    }
}
