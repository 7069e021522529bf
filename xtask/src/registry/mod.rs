//! `cargo xtask registry`: asks a program for its registry, and prints it, checks it, or compares it.

mod ask;
mod library;
mod report;
mod silent;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use nq_core::export::{RegistryDocument, check, diff, dot, mermaid};

/// Print the registry of a program: its workers, flows and events.
///
/// The program is built and run with `NQ_REGISTRY=<file>`: `nq::open` then writes the registry and ends the
/// process before it opens anything. With `-p` a library is linked into a program of its own.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing to tell, or only hints and changes that are safe, 1 --check found something \
    that is more than a hint, or --diff a change that breaks or may break runs in flight, 2 wrong usage, or the program \
    could not be asked."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) program: Program,

    /// Read a registry that was written before, instead of asking a program.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["example", "bin", "package"])]
    from: Option<PathBuf>,

    /// The form: json (the default), dot or mermaid; with --check and --diff text (the default) or json.
    #[arg(long)]
    format: Option<Format>,

    /// Write to this file instead of the terminal.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Say what is legal but suspicious. `no-timeout` is a hint: it is told, and the check does not fail for it. Intended
    /// things are said in the code: `#[nq::worker(allow = ["…"])]`
    /// with `unconsumed`, `cycle`, `unpaired` or `no-timeout`, and for a crate without workers
    /// `[package.metadata.nq] allow = ["no-workers"]` in its Cargo.toml.
    #[arg(long)]
    check: bool,

    /// Say which changes since this registry break runs in flight, and which are safe.
    #[arg(long, value_name = "OLD.json", conflicts_with = "check")]
    diff: Option<PathBuf>,

    /// Add `compiledAt`, in seconds since 1970. Two builds of the same source then differ, so it is left out
    /// otherwise.
    #[arg(long)]
    stamp: bool,
}

/// Which program to ask.
#[derive(clap::Args)]
pub(crate) struct Program {
    /// An example.
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Option<String>,

    /// A program of the workspace.
    #[arg(long, value_name = "NAME", conflicts_with = "example")]
    pub(crate) bin: Option<String>,

    /// The package that it is in; by itself its only program, or else its library.
    #[arg(short, long)]
    pub(crate) package: Option<String>,

    /// Features to build it with.
    #[arg(long, value_name = "FEATURES")]
    pub(crate) features: Option<String>,

    /// The Cargo.toml of the workspace that it is in, if not this repository.
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,

    /// Arguments for the program, where it opens nothing without them.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    Json,
    Dot,
    Mermaid,
    Text,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let judges = args.check || args.diff.is_some();
    let format = args.format.unwrap_or(if judges { Format::Text } else { Format::Json });
    match format {
        Format::Dot | Format::Mermaid if judges => bail!("--check and --diff are written as text or json"),
        Format::Text if !judges => bail!("a registry is written as json, dot or mermaid"),
        _ => {}
    }
    // The file is read before the program is built, so that a mistyped path is an error at once.
    let old = args.diff.as_deref().map(read).transpose()?;
    let mut document = match &args.from {
        Some(file) => read(file)?,
        None => ask::ask(&args.program)?,
    };
    if args.stamp {
        document.compiled_at = Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    }
    let (text, judged) = match &old {
        Some(old) => report::changes(&diff(old, &document), format),
        None if args.check => {
            let mut findings = check(&document);
            if args.from.is_none() {
                findings.extend(silent::crates(&args.program, &document)?);
            }
            report::findings(&findings, format)
        }
        None => (written(&document, format), false),
    };
    match &args.output {
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        // The reader of the output may have closed the pipe.
        None => drop(std::io::stdout().write_all(text.as_bytes())),
    }
    Ok(if judged { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn written(document: &RegistryDocument, format: Format) -> String {
    match format {
        Format::Dot => dot(document),
        Format::Mermaid => mermaid(document),
        Format::Json | Format::Text => document.to_json(),
    }
}

fn read(file: &Path) -> Result<RegistryDocument> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    RegistryDocument::parse(&text).with_context(|| file.display().to_string())
}
