//! The repository's own commands: `cargo xtask test`, `registry`, `neighbours` and `bench`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, and no test pauses it")]

mod bench;
mod cargo;
mod neighbours;
mod registry;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Args),
    Registry(registry::Args),
    Neighbours(neighbours::Args),
    #[command(subcommand)]
    Bench(bench::Command),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Test(args) => test::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Registry(args) => registry::run(&args),
        Command::Neighbours(args) => neighbours::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(command) => bench::run(&command).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        // The same code as for a wrong option; 1 means that the command ran, and what it checked does not hold.
        ExitCode::from(2)
    })
}
