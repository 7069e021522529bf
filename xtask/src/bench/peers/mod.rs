//! `cargo xtask bench peers`: nq beside its peers, on one Redis server, by turns.

mod chart;
mod figures;
mod machine;
mod plan;
mod programs;
mod readme;
mod server;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use self::figures::{Figures, Report, Sample, VERSION, Value};
use self::plan::{CONTENDERS, Contender, Program, Turn};
use self::programs::Programs;
use self::server::Server;
use crate::cargo::root;

/// The crates of the peers, as in their lock file.
const CRATES: [&str; 6] =
    ["apalis", "apalis-redis", "apalis-workflow", "bullmq-official", "duroxide", "rusty-sidekiq"];
/// The packages of Node.
const PACKAGES: [&str; 2] = ["bullmq", "ioredis"];
/// What the README shows, relative to it.
const CHART: &str = "docs/benchmarks/peers.svg";
const FIGURES: &str = "docs/benchmarks/peers.json";

/// Measure nq beside BullMQ (Node and Rust), apalis and rusty-sidekiq on one Redis server, which this command starts and
/// stops, and beside duroxide on SQLite. By turns: everybody does one thing before anybody does the next. How each is
/// set up, and by which recommendation of its docs, stands at the top of its program in `benches/peers`. The first run
/// downloads and builds the peers; BullMQ on Node needs `node` and `npm`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// About how long one measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Only these of: nq, bullmq-node, bullmq-rust, apalis, rusty-sidekiq on Redis; nq-sqlite, nq-memory, duroxide.
    #[arg(long, value_delimiter = ',', value_parser = CONTENDERS.map(|who| who.name))]
    only: Vec<String>,

    /// Only these of: drain, live, pickup, chain, fan, kept.
    #[arg(long, value_delimiter = ',', value_parser = ["drain", "live", "pickup", "chain", "fan", "kept"])]
    workloads: Vec<String>,

    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the chart to this file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Write figures and chart to `docs/benchmarks`, and the tables into the README.
    #[arg(long)]
    readme: bool,

    /// Measure nothing, and show the figures of this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rounds", "seconds", "only", "workloads", "json"])]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let report = match &args.from {
        Some(file) => read(file)?,
        None => measured(args)?,
    };
    println!("\n{}", table::tables(&report));
    for note in table::notes(&report) {
        println!("- {note}");
    }
    let file = |named: &Option<PathBuf>, own: &str| {
        let own = args.readme.then(|| root().join(own));
        named.clone().into_iter().chain(own).collect::<Vec<_>>()
    };
    for path in file(&args.json, FIGURES) {
        write(&path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    for path in file(&args.svg, CHART) {
        write(&path, &chart::chart(&report))?;
    }
    if args.readme {
        let path = root().join("README.md");
        let section = readme::section(&report, CHART, FIGURES);
        write(&path, &readme::rewritten(&fs::read_to_string(&path)?, &section)?)?;
    }
    Ok(())
}

fn measured(args: &Args) -> Result<Report> {
    let asked = |who: &Contender| args.only.is_empty() || args.only.iter().any(|name| name == who.name);
    let chosen = |name: &str| args.workloads.is_empty() || args.workloads.iter().any(|asked| asked == name);
    let turns = plan::turns(args.rounds, |who, workload| asked(who) && chosen(workload.name));
    ensure!(!turns.is_empty(), "nobody is left to measure at that");
    let contenders: Vec<_> =
        CONTENDERS.iter().filter(|who| turns.iter().any(|turn| turn.contender.name == who.name)).collect();
    let programs = Programs::build(&contenders)?;
    let server = Server::start()?;
    let mut report = Report {
        version: VERSION,
        command: command(args),
        machine: machine::machine(),
        versions: versions(&server, &contenders)?,
        samples: Vec::new(),
    };
    for (index, turn) in turns.iter().enumerate() {
        server.empty(turn.appendonly)?;
        let outcome = programs.measure(turn, args.seconds, &server.url());
        let sample = sample(turn, outcome);
        println!("{:>4}/{} {}", index + 1, turns.len(), shown(&sample));
        report.samples.push(sample);
    }
    Ok(report)
}

fn sample(turn: &Turn, outcome: Result<Figures>) -> Sample {
    let (figures, failed) = match outcome {
        Ok(figures) => (Some(figures), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Sample {
        who: turn.contender.name.to_owned(),
        workload: turn.workload.name.to_owned(),
        at: turn.workload.at,
        appendonly: turn.appendonly,
        round: turn.round,
        figures,
        failed,
    }
}

/// A line that says what was measured just now.
fn shown(sample: &Sample) -> String {
    let Sample { who, workload, at, appendonly, figures, failed, .. } = sample;
    let file = if *appendonly { "appendonly" } else { "" };
    let what = format!("{who:<14} {workload:<7} {at:>3} {file:<10}");
    let Some(figures) = figures else {
        return format!("{what} {}", failed.as_deref().unwrap_or_default());
    };
    let value = |value: Value, unit: &str| {
        let value = value.of(figures)?;
        Some(format!(" {:>9} {unit}", table::number(value)))
    };
    let values = [
        value(Value::PerSecond, "/s"),
        value(Value::P50Ms, "ms p50"),
        value(Value::P99Ms, "ms p99"),
        value(Value::ServerUs, "µs Redis"),
        value(Value::ClientUs, "µs client"),
        value(Value::Bytes, "bytes"),
    ];
    what + &values.into_iter().flatten().collect::<String>()
}

/// The command as one would type it to measure the same again.
fn command(args: &Args) -> String {
    let mut command = format!("cargo xtask bench peers --rounds {} --seconds {}", args.rounds, args.seconds);
    for (option, values) in [("only", &args.only), ("workloads", &args.workloads)] {
        if !values.is_empty() {
            command += &format!(" --{option} {}", values.join(","));
        }
    }
    command
}

/// The versions of what is measured, and of what it runs on.
fn versions(server: &Server, contenders: &[&Contender]) -> Result<BTreeMap<String, String>> {
    let has = |is: fn(Program) -> bool| contenders.iter().any(|who| is(who.program));
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut versions = BTreeMap::from([("redis".to_owned(), server.version()?)]);
    if let Some(rustc) = said("rustc", &["--version"]) {
        versions.insert("rustc".into(), rustc.split(' ').nth(1).unwrap_or_default().into());
    }
    if has(|program| program == Program::Nq) {
        let commit = said("git", &["rev-parse", "--short=12", "HEAD"]).map(|commit| format!(" ({commit})"));
        versions.insert("nq".into(), env!("CARGO_PKG_VERSION").to_owned() + &commit.unwrap_or_default());
    }
    if has(|program| matches!(program, Program::Rust(_))) {
        let lock = fs::read_to_string(root().join("benches/peers/rust/Cargo.lock"))?;
        versions.extend(programs::locked_crates(&lock, &CRATES));
    }
    if has(|program| program == Program::Node) {
        let lock = fs::read_to_string(root().join("benches/peers/node/package-lock.json"))?;
        let packages = PACKAGES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), programs::locked_package(&lock, name)?)));
        versions.extend(packages);
        let node = said("node", &["--version"]).unwrap_or_default();
        versions.insert("node".into(), node.trim_start_matches('v').to_owned());
    }
    Ok(versions)
}

fn read(file: &Path) -> Result<Report> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("{}", file.display()))?;
    ensure!(report.version == VERSION, "{} has version {}", file.display(), report.version);
    Ok(report)
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
