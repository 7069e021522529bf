//! The workers of the running program: compares the linked workers with those that rustc has proven.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nq_core::def::WorkerDef;
use nq_core::registry::{Registry, WiringError};

use super::erased::Handler;

/// The workers that a `registry!` has proven.
#[derive(Debug)]
pub struct Proven {
    /// The crate that it stands in.
    pub name: &'static str,
    /// Whether it belongs to a library, whose workers count only if a program includes it.
    pub library: bool,
    /// The workers, with those of the libraries that it includes.
    pub workers: &'static [&'static WorkerDef],
    /// Whether it found nothing wrong, as in every program that compiles. It is asked for because rustc, when
    /// it compiles again, only remembers the graph if a static has looked at it the last time.
    pub clean: bool,
}
inventory::collect!(Proven);

/// The workers that are linked into the program are not those that `registry!` has proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    problems: Vec<String>,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for RegistryError {}

/// The handlers of the program, by flow and name, if they are those that its registry has proven.
pub fn linked() -> Result<Vec<&'static Handler>, RegistryError> {
    let mut handlers: Vec<&'static Handler> = inventory::iter::<Handler>.into_iter().collect();
    handlers.sort_by_key(|handler| (handler.def.flows, handler.def.name, handler.def.path));
    let defs: Vec<_> = handlers.iter().map(|handler| handler.def).collect();
    let proven: Vec<_> = inventory::iter::<Proven>.into_iter().collect();
    let problems = compare(&defs, &proven);
    if problems.is_empty() { Ok(handlers) } else { Err(RegistryError { problems }) }
}

/// The same for a program that only starts and looks at runs: it may well have no workers.
pub fn linked_if_any() -> Result<Vec<&'static Handler>, RegistryError> {
    let any = inventory::iter::<Handler>.into_iter().next().is_some();
    if any { linked() } else { Ok(Vec::new()) }
}

/// The registry of these workers.
pub(crate) fn wired(handlers: &[&'static Handler]) -> Result<Registry, WiringError> {
    let defs = handlers.iter().map(|handler| handler.def);
    let events = handlers.iter().flat_map(|handler| handler.events.iter().copied());
    Registry::new(defs, events)
}

/// The place of a worker in the source, by which two workers differ.
fn place(def: &WorkerDef) -> (&'static str, &'static str, u32) {
    (def.path, def.file, (def.line)())
}

fn crate_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// The message: what differs, and which line fixes it.
fn compare(linked: &[&'static WorkerDef], registries: &[&Proven]) -> Vec<String> {
    if linked.is_empty() {
        return vec![no_workers(registries)];
    }
    let proven: BTreeMap<_, _> = registries
        .iter()
        .filter(|registry| !registry.library)
        .flat_map(|registry| registry.workers)
        .map(|def| (place(def), *def))
        .collect();
    let libraries: BTreeSet<_> =
        registries.iter().filter(|registry| registry.library).map(|registry| registry.name).collect();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for def in linked.iter().filter(|def| !proven.contains_key(&place(def))) {
        missing.entry(crate_of(def.path)).or_default().push(def.path);
    }
    let mut problems = Vec::new();
    for (name, workers) in missing {
        let library = if libraries.contains(name) {
            String::new()
        } else {
            format!("`nq::registry!(library);` in the root of `{name}`, and ")
        };
        problems.push(format!(
            "{} linked but not proven: add {library}`nq::registry!(include = [{name}]);` in the root of the program",
            named("worker", &workers)
        ));
    }
    let linked: BTreeSet<_> = linked.iter().map(|def| place(def)).collect();
    let absent: Vec<_> =
        proven.iter().filter(|(place, _)| !linked.contains(*place)).map(|(_, def)| def.path).collect();
    if !absent.is_empty() {
        problems.push(format!(
            "{} proven but not linked: this target drops what `inventory` collects; see its list of platforms",
            named("worker", &absent)
        ));
    }
    problems
}

fn named(what: &str, names: &[&str]) -> String {
    let list: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        1 => format!("{what} {} is", list[0]),
        _ => format!("{what}s {} are", list.join(", ")),
    }
}

fn no_workers(registries: &[&Proven]) -> String {
    if registries.is_empty() {
        "this program has no workers: put `#[nq::worker]` above an `async fn` and `nq::registry!();` into the crate root. \
         Workers of a library are in the program only if its source names the library: `nq::registry!(include = [my_library]);`"
            .to_owned()
    } else {
        "this program has no workers: its `nq::registry!()` found no `#[nq::worker]` in the modules of the crate. \
         Those of a library come with `nq::registry!(include = [my_library]);`"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn worker(path: &'static str) -> WorkerDef {
        WorkerDef { path, name: path, ..WorkerDef::DEFAULT }
    }
    const CHARGE: WorkerDef = worker("shop::charge");
    const SHIP: WorkerDef = worker("shop::ship");
    const PACK: WorkerDef = worker("shipping::pack");

    fn check(linked: &[&'static WorkerDef], registries: &[Proven], expected: &[&str]) {
        let problems = compare(linked, &registries.iter().collect::<Vec<_>>());
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, part) in problems.iter().zip(expected) {
            assert!(problem.contains(part), "{problem}");
        }
    }

    fn program(workers: &'static [&'static WorkerDef]) -> Proven {
        Proven { name: "shop", library: false, workers, clean: true }
    }

    #[test]
    fn what_is_linked_must_be_proven() {
        check(&[&CHARGE, &SHIP], &[program(&[&CHARGE, &SHIP])], &[]);
        check(&[&CHARGE, &PACK], &[program(&[&CHARGE, &PACK])], &[]);
        let library = || Proven { name: "shipping", library: true, workers: &[&PACK], clean: true };
        check(
            &[&CHARGE, &PACK],
            &[program(&[&CHARGE]), library()],
            &["worker `shipping::pack` is linked but not proven: add `nq::registry!(include = [shipping]);`"],
        );
        check(
            &[&CHARGE, &SHIP],
            &[],
            &[
                "workers `shop::charge`, `shop::ship` are linked but not proven: add `nq::registry!(library);` in the root of `shop`, and",
            ],
        );
        check(&[&CHARGE], &[program(&[&CHARGE, &SHIP])], &["worker `shop::ship` is proven but not linked"]);
    }

    #[test]
    fn a_program_without_workers_says_why() {
        check(&[], &[], &["put `#[nq::worker]` above an `async fn`"]);
        check(&[], &[program(&[])], &["found no `#[nq::worker]`"]);
    }
}
