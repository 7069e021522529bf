//! `cargo xtask bench proof`: what the proof adds to `cargo check`, on generated crates.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::generate::{CHANGING, Variant, changing, package, workspace};
use crate::cargo::{cargo, metadata, run as run_command};

/// Measure what the proof adds to `cargo check`: generated crates of workers with 30 lines each, in flows of 10 and
/// files of 20. `plain` are the same functions without `#[nq::worker]` and `nq::registry!()`; `unproven` has
/// both, with macros that leave the proof out; `adds` is what the proof adds to that. Dependencies are compiled
/// before and not counted.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many workers the crates have.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 300, 1_000, 3_000])]
    workers: Vec<usize>,

    /// How often each is measured; the least counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Count processor time instead of time on the clock: what to look at while the machine does other things.
    /// Linux only.
    #[arg(long)]
    cpu: bool,
}

/// What one crate took, in seconds.
#[derive(Clone, Copy)]
struct Took {
    /// With nothing of it compiled.
    cold: f64,
    /// After a line in a body changed.
    body: f64,
    /// After a line was added at the top of a file.
    top: f64,
}

impl Took {
    const MAX: Self = Self { cold: f64::MAX, body: f64::MAX, top: f64::MAX };
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = metadata(None, false)?.target_directory.join("xtask/proof").into_std_path_buf();
    workspace(&folder, &args.workers)?;
    // Afterwards nothing is fetched, nor is that counted.
    run_command(cargo().args(["fetch", "--quiet", "--locked"]))?;
    let of = if args.cpu { "seconds of the processor" } else { "seconds" };
    println!("cargo check, {of}, the least of {} rounds\n", args.rounds);
    let columns = format!("{:>7} {:>8} {:>7} {:>6}", "plain", "unproven", "proven", "adds");
    println!("{:>7}  {:^31}  {:^31}  {:^31}", "", "cold", "a changed body", "a line added on top");
    println!("{:>7}  {columns}  {columns}  {columns}", "workers");
    let mut each = Vec::new();
    for workers in &args.workers {
        let [plain, unproven, proven] = measure(&folder, *workers, args)?;
        let columns = |of: fn(&Took) -> f64| {
            let (plain, unproven, proven) = (of(&plain), of(&unproven), of(&proven));
            format!("{plain:>7.2} {unproven:>8.2} {proven:>7.2} {:>6.2}", proven - unproven)
        };
        println!(
            "{workers:>7}  {}  {}  {}",
            columns(|took| took.cold),
            columns(|took| took.body),
            columns(|took| took.top)
        );
        each.push((*workers, proven.cold / *workers as f64));
    }
    let at = |wanted: usize| each.iter().find(|(workers, _)| *workers == wanted).map(|(_, ms)| ms);
    if let (Some(some), Some(many)) = (at(300), at(3_000)) {
        println!("\ntime a worker at 3,000: {:.2} times that at 300", many / some);
    }
    Ok(())
}

/// Measures the variants in turn, so that other load of the machine falls on all of them, and takes the least of the
/// rounds, since other load only adds time.
fn measure(folder: &Path, workers: usize, args: &Args) -> Result<[Took; 3]> {
    // Dependencies are compiled here, and what is wrong with a crate shows.
    for variant in Variant::ALL {
        check(folder, variant, workers, false)?;
    }
    let mut least = [Took::MAX; 3];
    for round in 0..args.rounds {
        for (variant, least) in Variant::ALL.into_iter().zip(&mut least) {
            let took = measure_once(folder, variant, workers, round, args.cpu)?;
            least.cold = least.cold.min(took.cold);
            least.body = least.body.min(took.body);
            least.top = least.top.min(took.top);
        }
    }
    Ok(least)
}

fn measure_once(folder: &Path, variant: Variant, workers: usize, round: u32, cpu: bool) -> Result<Took> {
    let name = package(variant, workers);
    let source = folder.join(&name).join(changing(workers));
    let original = std::fs::read_to_string(&source)?;
    let mut clean = command(folder, "clean", variant);
    ensure!(clean.args(["--package", &name]).status()?.success(), "`{name}` cannot be cleaned");
    let cold = check(folder, variant, workers, cpu)?;
    let changed = original.replacen(CHANGING, &format!("    let salt: u64 = {};\n", round + 8), 1);
    ensure!(changed != original, "`{name}` has no line to change");
    std::fs::write(&source, &changed)?;
    let body = check(folder, variant, workers, cpu)?;
    std::fs::write(&source, format!("// A line more.\n{changed}"))?;
    let top = check(folder, variant, workers, cpu)?;
    std::fs::write(&source, &original)?;
    Ok(Took { cold, body, top })
}

fn command(folder: &Path, verb: &str, variant: Variant) -> Command {
    let mut command = cargo();
    // Flags of their own, so dependencies of their own.
    let (flags, target) =
        if variant == Variant::Unproven { ("--cfg nq_unproven", "target-unproven") } else { ("", "target") };
    command
        .current_dir(folder)
        .args([verb, "--quiet", "--offline"])
        .env("CARGO_TARGET_DIR", folder.join(target));
    command.env("RUSTFLAGS", flags);
    command
}

/// Checks a package, and returns the seconds that it took.
fn check(folder: &Path, variant: Variant, workers: usize, cpu: bool) -> Result<f64> {
    let mut command = command(folder, "check", variant);
    command.args(["--package", &package(variant, workers)]).stdout(Stdio::null());
    let (start, before) = (Instant::now(), if cpu { children_seconds()? } else { 0.0 });
    let output = command.stderr(Stdio::piped()).output()?;
    let took = if cpu { children_seconds()? - before } else { start.elapsed().as_secs_f64() };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "cargo check: {said}");
    Ok(took)
}

/// The processor time of all processes that this one has waited for.
fn children_seconds() -> Result<f64> {
    /// The kernel counts in hundredths of a second, whatever its own clock does.
    const TICKS: f64 = 100.0;
    let stat =
        std::fs::read_to_string("/proc/self/stat").context("processor time is counted on Linux only")?;
    // After the name, which may hold anything: the time in user mode and in the kernel are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("no fields")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS)
}
