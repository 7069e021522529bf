//! Finds crates that depend on nq and contribute no worker and no event to the program.

use std::collections::BTreeSet;

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, Package};
use nq_core::export::{Finding, RegistryDocument};

use super::Program;
use crate::cargo::metadata;

/// The crates below the program that depend on nq, but have no worker and no event in its registry.
pub(super) fn crates(program: &Program, document: &RegistryDocument) -> Result<Vec<Finding>> {
    let metadata = metadata(program.manifest_path.as_deref(), true)?;
    let names = document.workers.iter().map(|worker| &worker.path);
    let names = names.chain(document.events.values().filter_map(|event| event.type_path.as_ref()));
    let heard: BTreeSet<_> = names.filter_map(|path| path.split("::").next()).collect();
    let silent = below(&metadata, program).into_iter().filter(|package| {
        let uses = package
            .dependencies
            .iter()
            .any(|needed| needed.name == "nq" && needed.kind == DependencyKind::Normal);
        let library = package.targets.iter().find(|target| target.is_lib());
        uses && !allowed(package)
            && library.is_some_and(|library| !heard.contains(library.name.replace('-', "_").as_str()))
    });
    Ok(silent.map(finding).collect())
}

fn allowed(package: &Package) -> bool {
    let allow = package.metadata["nq"]["allow"].as_array().into_iter().flatten();
    allow.into_iter().any(|rule| rule == "no-workers")
}

fn finding(package: &Package) -> Finding {
    let name = &package.name;
    Finding {
        file: package.manifest_path.to_string(),
        line: 1,
        rule: "no-workers",
        worker_id: String::new(),
        message: format!("crate `{name}` uses nq, and the program has no worker and no event of it"),
        help: format!(
            "write `nq::registry!(include = [{}]);` in the root of the program, or do without the crate; \
             where it is intended, `[package.metadata.nq] allow = [\"no-workers\"]` in its Cargo.toml",
            name.replace('-', "_")
        ),
        hint: false,
    }
}

/// The packages that are linked into the program.
fn below<'a>(metadata: &'a Metadata, program: &Program) -> Vec<&'a Package> {
    let Some(resolve) = &metadata.resolve else { return Vec::new() };
    let root = metadata.workspace_packages().into_iter().find(|package| match &program.package {
        Some(name) => package.name == *name,
        None => package.targets.iter().any(|target| {
            (target.is_example() && program.example.as_ref() == Some(&target.name))
                || (target.is_bin() && program.bin.as_ref() == Some(&target.name))
        }),
    });
    let mut open: Vec<_> = root.map(|package| &package.id).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        open.extend(node.into_iter().flat_map(|node| &node.deps).map(|needed| &needed.pkg));
    }
    metadata.packages.iter().filter(|package| seen.contains(&package.id)).collect()
}
