//! Writes crates of many workers: what a team's flows look like to a compiler.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cargo::root;

/// How many workers a flow has: an entry, and a chain after it.
const FLOW: usize = 10;
/// How many workers a file has.
const FILE: usize = 20;

/// Which attributes stand above the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing: plain functions.
    Plain,
    /// `#[nq::worker]` and `nq::registry!()`, with the macros built so that they leave the proof out.
    Unproven,
    /// `#[nq::worker]`, and `nq::registry!()` in the root.
    Proven,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Unproven, Self::Proven];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Unproven => "unproven",
            Self::Proven => "proven",
        }
    }
}

/// The name of a generated package.
pub(super) fn package(variant: Variant, workers: usize) -> String {
    format!("{}-{workers}", variant.name())
}

/// The file whose worker changes, relative to the package: one in the middle.
pub(super) fn changing(workers: usize) -> String {
    format!("src/steps_{}.rs", workers.div_ceil(FILE) / 2)
}

/// Writes a workspace with a package of each size and variant.
pub(super) fn workspace(folder: &Path, sizes: &[usize]) -> Result<()> {
    let mut members = Vec::new();
    for workers in sizes {
        for variant in Variant::ALL {
            members.push(package(variant, *workers));
            crate_of(&folder.join(package(variant, *workers)), variant, *workers)?;
        }
    }
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[workspace.dependencies]\n\
         nq = {{ path = {:?}, default-features = false }}\n",
        root().display().to_string()
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    // The same versions as here, so that nothing is fetched.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

fn crate_of(folder: &Path, variant: Variant, workers: usize) -> Result<()> {
    let manifest = format!(
        "[package]\nname = {:?}\nedition = \"2024\"\n\n[dependencies]\nnq.workspace = true\n",
        package(variant, workers)
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    let files = workers.div_ceil(FILE);
    let mut main = String::from("//! Generated.\n#![allow(dead_code)]\n\n");
    for file in 0..files {
        let _ = writeln!(main, "mod steps_{file};");
    }
    main.push_str(match variant {
        Variant::Proven | Variant::Unproven => "\nnq::registry!();\n\nfn main() {}\n",
        // What the functions call has to be there.
        Variant::Plain => {
            "\npub struct Ctx;\n\nimpl Ctx {\n    pub fn emit<E: nq::Event>(&self, _event: E) -> nq::Result<()> {\n        \
             nq::Ok(())\n    }\n}\n\nfn main() {}\n"
        }
    });
    write(&folder.join("src/main.rs"), &main)?;
    for file in 0..files {
        let mut text = String::from("//! Generated.\n\nuse nq::prelude::*;\n\n");
        if variant == Variant::Plain {
            text = String::from("//! Generated.\n\nuse crate::Ctx;\n\n");
        }
        for worker in file * FILE..workers.min((file + 1) * FILE) {
            text.push_str(&step(variant, worker, workers));
        }
        write(&folder.join(format!("src/steps_{file}.rs")), &text)?;
    }
    Ok(())
}

/// An event, and the worker that takes it.
fn step(variant: Variant, number: usize, workers: usize) -> String {
    let first = number.is_multiple_of(FLOW);
    let last = number % FLOW == FLOW - 1 || number + 1 == workers;
    let mut text = format!(
        "#[nq::event]\npub struct Event{number} {{\n    pub id: u64,\n    pub text: String,\n    pub parts: Vec<u32>,\n}}\n\n"
    );
    if variant != Variant::Plain {
        let flow = number / FLOW;
        let takes = if first { String::new() } else { format!(", subscribes = [Event{number}]") };
        let emits = if last { String::new() } else { format!(", emits = [Event{}]", number + 1) };
        let _ = writeln!(
            text,
            "#[nq::worker(flow = \"flow{flow}\"{takes}{emits}, retries = 5, timeout = \"30s\")]"
        );
    }
    let context = match variant {
        Variant::Plain => "Ctx".to_owned(),
        Variant::Proven | Variant::Unproven => format!("Ctx<step{number}>"),
    };
    let _ =
        writeln!(text, "async fn step{number}(input: Event{number}, ctx: {context}) -> nq::Result<u64> {{");
    text.push_str(BODY);
    if last {
        text.push_str("    let _ = ctx;\n");
    } else {
        let _ = writeln!(
            text,
            "    ctx.emit(Event{} {{ id: total, text: words.join(\" \"), parts: Vec::new() }})?;",
            number + 1
        );
    }
    text.push_str("    nq::Ok(total)\n}\n\n");
    text
}

/// The line of a body that a benchmark changes.
pub(super) const CHANGING: &str = "    let salt: u64 = 7;\n";

/// 30 lines with what workers are made of: loops, matches, strings, options, awaits.
const BODY: &str = r#"    let salt: u64 = 7;
    let mut total = input.id.wrapping_mul(salt);
    let mut words: Vec<String> = input.text.split(' ').map(str::to_owned).collect();
    for (index, part) in input.parts.iter().enumerate() {
        let share = u64::from(*part).wrapping_add(index as u64);
        total = match share % 3 {
            0 => total.wrapping_add(share),
            1 => total.wrapping_sub(share),
            _ => total ^ share,
        };
        if share > 1_000 {
            words.push(format!("{index}:{share}"));
        }
    }
    let longest = words.iter().max_by_key(|word| word.len()).cloned();
    let label = match longest {
        Some(word) if word.is_empty() => "empty".to_owned(),
        Some(word) => word.to_uppercase(),
        None => "none".to_owned(),
    };
    let later = async { label.len() as u64 };
    total = total.wrapping_add(later.await);
    let counts = words.iter().fold(std::collections::BTreeMap::new(), |mut counts, word| {
        *counts.entry(word.len()).or_insert(0_u32) += 1;
        counts
    });
    if let Some((length, count)) = counts.iter().next_back() {
        words.push(format!("{length} x {count}"));
    }
    words.retain(|word| !word.is_empty());
"#;

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
