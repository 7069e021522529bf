//! `cargo xtask test`: everything that must hold, stage by stage, with the time of each stage.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{cargo, metadata, root, run as run_command, shown};
use crate::tools;

/// Run everything that must hold: format, lints, tests, doctests, examples, docs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what is quick enough to be run after each change: format, unit tests, and flows on the memory store.
    #[arg(long)]
    fast: bool,
}

/// The servers that the Redis store is tested on, first choice first.
const REDIS_LIKE: [&str; 2] = ["redis-server", "valkey-server"];

/// The examples that run until they are told to stop, with their arguments.
const FOR_EVER: [(&str, &[&str]); 2] = [("web", &["127.0.0.1:0"]), ("worker", &[])];

/// How long an example that runs for ever is let run.
const LET_RUN: Duration = Duration::from_secs(2);

/// The longest that an example may take.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(100);

/// The stages so far: name, time, and why one failed.
#[derive(Default)]
struct Stages(Vec<(&'static str, Duration, Option<anyhow::Error>)>);

impl Stages {
    fn run(&mut self, name: &'static str, stage: impl FnOnce() -> Result<()>) {
        println!("── {name}");
        let start = Instant::now();
        let error = stage().err();
        if let Some(error) = &error {
            eprintln!("{name} failed: {error:#}");
        }
        self.0.push((name, start.elapsed(), error));
    }

    /// Prints what each took, and fails if one did.
    fn finish(self) -> Result<()> {
        println!("── summary");
        for (name, time, error) in &self.0 {
            let outcome = if error.is_some() { "FAILED" } else { "ok" };
            println!("{name:<13} {:>8.1} s  {outcome}", time.as_secs_f64());
        }
        let failed: Vec<_> = self.0.iter().filter(|stage| stage.2.is_some()).map(|stage| stage.0).collect();
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stages = Stages::default();
    stages.run("format", || run_command(cargo().args(["fmt", "--all", "--check"])));
    if args.fast {
        stages.run("tests", || tests(&["--lib", "--bins", "--test", "flows"]));
        return stages.finish();
    }
    stages.run("lints", || {
        let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run_command(cargo().args(clippy))
    });
    stages.run("tests", || {
        tools::need(&REDIS_LIKE, "redis-server")?;
        tests(&[])
    });
    // Unless a server was chosen, the tests above ran on the first of the servers that is installed.
    for server in REDIS_LIKE.into_iter().filter(|server| tools::find(server).is_some()).skip(1) {
        stages.run(server, || {
            let tests = ["test", "--package", "nq-runtime", "--all-features", "--no-fail-fast"];
            let only = ["--test", "conformance_redis", "--test", "redis_store"];
            run_command(cargo().args(tests).args(only).env("NQ_TEST_REDIS", server))
        });
    }
    stages.run("doctests", || run_command(cargo().args(["test", "--workspace", "--all-features", "--doc"])));
    stages.run("examples", examples);
    stages.run("docs", || {
        let docs = ["doc", "--workspace", "--all-features", "--no-deps"];
        run_command(cargo().args(docs).env("RUSTDOCFLAGS", "-D warnings"))
    });
    stages.finish()
}

/// Runs the tests with nextest where it is installed, else with cargo.
fn tests(only: &[&str]) -> Result<()> {
    let mut command = cargo();
    let every = ["--workspace", "--all-features", "--no-fail-fast"];
    if tools::has_cargo("nextest") {
        command.args(["nextest", "run"]).args(every).args(only);
    } else {
        command.arg("test").args(every);
        // Doctests are a stage of their own.
        command.args(if only.is_empty() { &["--lib", "--bins", "--tests"] } else { only });
    }
    run_command(&mut command)
}

/// Builds the examples, and runs each by itself, without input, in an empty folder with a `Cargo.lock`. One that runs
/// for ever is asked to stop, as a service manager asks.
fn examples() -> Result<()> {
    run_command(cargo().args(["build", "--examples", "--all-features"]))?;
    let metadata = metadata(None, false)?;
    let folder = metadata.target_directory.join("xtask/examples");
    // Programs that a test starts are examples for cargo, too, but their files lie elsewhere.
    let shown = metadata.workspace_root.join("examples");
    let examples = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_example() && target.src_path.starts_with(&shown));
    for example in examples {
        let program = metadata.target_directory.join("debug/examples").join(&example.name);
        let cwd = folder.join(&example.name).into_std_path_buf();
        run_example(program.as_std_path(), &cwd).with_context(|| format!("example `{}`", example.name))?;
    }
    Ok(())
}

fn run_example(program: &Path, cwd: &Path) -> Result<()> {
    if cwd.exists() {
        std::fs::remove_dir_all(cwd)?;
    }
    std::fs::create_dir_all(cwd)?;
    std::fs::copy(root().join("Cargo.lock"), cwd.join("Cargo.lock"))?;
    let output = cwd.join("output.txt");
    let file = std::fs::File::create(&output)?;
    let mut command = Command::new(program);
    command.current_dir(cwd).stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
    let for_ever = FOR_EVER.into_iter().find(|(name, _)| program.ends_with(name));
    command.args(for_ever.map_or(&[][..], |(_, args)| args));
    println!("running {}", shown(&command));
    let mut child = command.spawn()?;
    if for_ever.is_some() {
        std::thread::sleep(LET_RUN);
        run_command(Command::new("kill").arg(child.id().to_string()))?;
    }
    let Some(status) = wait(&mut child, EXAMPLE_LIMIT)? else {
        bail!("did not end within {} s", EXAMPLE_LIMIT.as_secs());
    };
    let text = || std::fs::read_to_string(&output).unwrap_or_default();
    ensure!(status.success(), "ended with {status}:\n{}", text());
    Ok(())
}

/// Waits for a process. When its time is up, kills it and returns none.
pub(crate) fn wait(
    child: &mut std::process::Child,
    limit: Duration,
) -> Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
