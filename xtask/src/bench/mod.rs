//! `cargo xtask bench`: what things cost, measured.

mod generate;
mod peers;
mod proof;

use anyhow::Result;

use crate::cargo::{cargo, run as run_command};
use crate::tools;

/// Measure what things cost.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Durable steps a second of a three-step flow, on SQLite and in memory, beside one synced commit per step.
    Embedded,
    /// How soon a step begins on Redis, beside the shortest way through its streams, and runs a second.
    Redis,
    Peers(peers::Args),
    Proof(proof::Args),
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Embedded => run_command(cargo().args(["bench", "--quiet", "--bench", "embedded"])),
        Command::Redis => {
            tools::need(&["redis-server", "valkey-server"], "redis-server")?;
            run_command(cargo().args(["bench", "--quiet", "--features", "redis", "--bench", "redis"]))
        }
        Command::Peers(args) => peers::run(args),
        Command::Proof(args) => proof::run(args),
    }
}
