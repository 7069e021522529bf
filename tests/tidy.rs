//! Checks of the sources that the compiler does not make: how files open, their words and size, which file imports which,
//! and the dependencies that nq-core must not have.

#[path = "support/imports.rs"]
mod imports;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::imports::Imports;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository with their texts: those that git tracks or would add; without git, all files except what
/// is built.
fn files() -> Vec<(String, String)> {
    let git = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let names: Vec<String> = match git {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8(output.stdout).unwrap();
            text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => below(root()),
    };
    let read = |name: String| Some((name.clone(), fs::read_to_string(root().join(name)).ok()?));
    let files: Vec<_> = names.into_iter().filter_map(read).collect();
    assert!(
        files.iter().any(|(name, _)| name == "src/lib.rs"),
        "the sources are not where they are looked for"
    );
    files
}

fn below(folder: &Path) -> Vec<String> {
    let built = |path: &Path| ["target", ".git"].iter().any(|name| path.ends_with(name));
    let walk = walkdir::WalkDir::new(folder).into_iter().filter_entry(|entry| !built(entry.path()));
    let files = walk.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned()).collect()
}

fn sources() -> Vec<(String, String)> {
    files().into_iter().filter(|(name, _)| is_a(name, "rs")).collect()
}

/// Fails if `judge` objects to a file, and names each such file.
#[track_caller]
fn check(files: &[(String, String)], judge: impl Fn(&str, &str) -> Option<String>) {
    let mut wrong = String::new();
    for (name, text) in files {
        if let Some(what) = judge(name, text) {
            let _ = writeln!(wrong, "{name}: {what}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The first line that holds one of these, with what it holds.
fn holds(text: &str, words: &[&str]) -> Option<String> {
    let line = |(number, line): (usize, &str)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("line {}: {word}", number + 1))
    };
    text.lines().enumerate().find_map(line)
}

#[test]
fn every_source_opens_by_saying_what_it_is() {
    check(&sources(), |name, text| {
        let exempt = name.starts_with("tests/ui/");
        (!exempt && !text.starts_with("//! ")).then(|| "does not open with `//!`".into())
    });
}

#[test]
fn no_source_grows_past_what_one_reads_at_a_time() {
    check(&sources(), |_, text| {
        let lines = text.lines().count();
        (lines > 700).then(|| format!("{lines} lines: cut it in two"))
    });
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore"), concat!("unimple", "mented!(")];
    check(&sources(), |_, text| holds(text, &marks));
}

#[test]
fn nothing_names_a_folder_of_a_machine() {
    let folders =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    check(&files(), |name, text| {
        let exempt = name == "Cargo.lock";
        (!exempt).then(|| holds(text, &folders)).flatten()
    });
}

/// The crates that nq-core is built of, without those that only make its macros and tests.
fn tree_of_core() -> BTreeSet<String> {
    let args = [
        "tree",
        "-p",
        "nq-core",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--no-dedupe",
        "--locked",
    ];
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // A procedural macro, and what it needs, runs in the compiler.
    let linked = text.lines().filter(|line| !line.contains("(proc-macro)"));
    linked.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn core_depends_on_nothing_that_waits_or_reads_a_clock() {
    const ALLOWED: &[&str] = &[
        "async-trait",
        "dyn-clone",
        "itoa",
        "memchr",
        "nq-core",
        "proc-macro2",
        "quote",
        "ref-cast",
        "ref-cast-impl",
        "ryu",
        "schemars",
        "schemars_derive",
        "serde",
        "serde_core",
        "serde_derive",
        "serde_derive_internals",
        "serde_json",
        "sha1_smol",
        "syn",
        "thiserror",
        "thiserror-impl",
        "unicode-ident",
        "uuid",
        "zmij",
    ];
    let tree = tree_of_core();
    assert!(tree.contains("serde"), "{tree:?}");
    let others: Vec<_> = tree.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    assert!(
        others.is_empty(),
        "nq-core depends on {others:?}: does it need them, without I/O, clock or chance?"
    );
}

#[test]
fn core_names_no_clock_no_disk_no_network_and_no_chance() {
    let banned = [
        "std::time::SystemTime",
        "std::time::Instant",
        "SystemTime::now",
        "Instant::now",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "rand::",
        "tokio::",
        "new_v4",
        "now_v7",
        ".await;",
        ".await?",
    ];
    let of_core = |name: &str| name.starts_with("nq-core/src/") && !name.contains("conformance");
    let core: Vec<_> = sources().into_iter().filter(|(name, _)| of_core(name)).collect();
    assert!(core.len() > 10);
    check(&core, |_, text| holds(text, &banned));
}

/// The circles of imports between files, said in words.
fn circles(files: &[(String, String)]) -> Vec<String> {
    let imports = Imports::of(files);
    imports.circles().iter().map(|circle| imports.say(circle)).collect()
}

#[test]
fn files_import_each_other_in_no_circle() {
    let sources = sources();
    for package in ["nq-core", "nq-macros", "nq-runtime"] {
        let of_tests = |file: &str| file.ends_with("tests.rs") || file.contains("tests/");
        let files = sources.iter().filter_map(|(name, text)| {
            let file = name.strip_prefix(package)?.strip_prefix("/src/")?;
            (!of_tests(file)).then(|| (file.to_owned(), text.clone()))
        });
        let files: Vec<_> = files.collect();
        assert!(files.len() > 10, "{package} is not where it is looked for");
        let imports = Imports::of(&files);
        let circles: Vec<_> = imports.circles().iter().map(|circle| imports.say(circle)).collect();
        assert!(circles.is_empty(), "{package}:\n{}", circles.join("\n"));
    }
}

#[test]
fn a_circle_is_seen_where_an_import_leads_to_and_not_where_it_is_passed_on() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let files: Vec<_> =
            files.iter().map(|(name, text)| (format!("{name}.rs"), (*text).to_owned())).collect();
        assert_eq!(circles(&files), expected);
    };
    let lib = ("lib", "mod a; mod b;");
    check(&[lib, ("a", "use crate::b::B; pub struct A(B);"), ("b", "pub struct B;")], &[]);
    check(
        &[lib, ("a", "use crate::b::B; pub struct A(B);"), ("b", "pub struct B; fn f(a: super::a::A) {}")],
        &["a.rs imports b::B from b.rs; b.rs imports a::A from a.rs"],
    );
    // A `mod.rs` that only declares and re-exports does not count as a file of the circle.
    let passes_on = ("a/mod", "mod x; mod y; pub use self::x::X; pub use self::y::Y;");
    let y = ("a/y", "use super::X; pub struct Y(X);");
    check(&[lib, passes_on, ("a/x", "pub struct X;"), y], &[]);
    check(
        &[lib, passes_on, ("a/x", "use crate::a::Y; pub struct X(Y);"), y],
        &["a/x.rs imports a::Y from a/y.rs; a/y.rs imports a::X from a/x.rs"],
    );
    // A `mod.rs` that uses what it re-exports counts.
    let needs = ("a/mod", "mod x; pub use self::x::X; pub struct A(X);");
    check(
        &[lib, needs, ("a/x", "use super::A; pub struct X;")],
        &["a/mod.rs imports a::x::X from a/x.rs; a/x.rs imports a::A from a/mod.rs"],
    );
    // Names through a module, and through `*`.
    check(
        &[
            lib,
            ("a", "use crate::b; fn f() { b::g() }"),
            ("b", "pub use crate::c::*;"),
            ("c", "pub fn g() { crate::a::f() }"),
        ],
        &["a.rs imports b::g from c.rs; c.rs imports a::f from a.rs"],
    );
    // Tests may need what the code does not.
    check(
        &[
            lib,
            ("a", "pub fn f() { super::b::g() }"),
            ("b", "#[cfg(test)] mod tests { use crate::a::f; } pub fn g() {}"),
        ],
        &[],
    );
}

/// The names that a file makes public, as words: `StepId` is `step`, `id`.
fn public_names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let kinds =
        ["pub struct ", "pub enum ", "pub trait ", "pub fn ", "pub async fn ", "pub const fn ", "pub mod "];
    text.lines().enumerate().filter_map(move |(number, line)| {
        let rest = kinds.iter().find_map(|kind| line.trim_start().strip_prefix(kind))?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        Some((number + 1, &rest[..end]))
    })
}

#[test]
fn public_names_use_the_words_of_the_vocabulary() {
    // Each with the word that stands for it.
    const WORDS: &[(&str, &str)] = &[
        ("message", "event"),
        ("topic", "event"),
        ("workflow", "flow"),
        ("pipeline", "flow"),
        ("execution", "run"),
        ("activity", "step"),
        ("journal", "timeline"),
        ("hook", "trigger"),
        ("signal", "await"),
        ("backend", "store"),
        ("adapter", "store"),
        ("provider", "store"),
        ("visibility", "lease"),
        ("channel", "queue"),
    ];
    let public = |name: &str| {
        name.starts_with("src/") || name.contains("nq-core/src") || name.contains("nq-runtime/src")
    };
    let sources: Vec<_> = sources().into_iter().filter(|(name, _)| public(name)).collect();
    check(&sources, |_, text| {
        public_names(text).find_map(|(line, name)| {
            let lower = name.to_lowercase();
            let (word, better) = WORDS.iter().find(|(word, _)| lower.contains(word))?;
            Some(format!("line {line}: `{name}` says {word}, and the word is {better}"))
        })
    });
}

/// The code of a page below `<!-- examples/… -->`, with the file that it is said to be.
fn shown_examples(page: &str) -> Vec<(PathBuf, String)> {
    let marked = page.split("<!-- examples/").skip(1);
    let block = |part: &str| {
        let (name, rest) = part.split_once(" -->")?;
        let (_, code) = rest.split_once("```rust,ignore\n")?;
        Some((root().join("examples").join(name), code.split_once("```")?.0.to_owned()))
    };
    marked.map(|part| block(part).expect("a block of code follows")).collect()
}

#[test]
fn pages_show_the_examples_as_they_are() {
    let mut seen = BTreeSet::new();
    for (page, text) in files().into_iter().filter(|(name, _)| is_a(name, "md")) {
        for (file, code) in shown_examples(&text) {
            let example = fs::read_to_string(&file).unwrap();
            // The page may leave paragraphs out: what is said of the file, what stands in for a bank, its tests.
            let mut rest = example.as_str();
            for paragraph in code.trim_end().split("\n\n") {
                let found = rest.find(paragraph);
                let shown = file.display();
                let at = found.unwrap_or_else(|| panic!("{page} shows what is not in {shown}:\n{paragraph}"));
                rest = &rest[at + paragraph.len()..];
            }
            seen.insert((page.clone(), file.file_stem().unwrap().to_string_lossy().into_owned()));
        }
    }
    let must = [
        ("README.md", "front_page"),
        ("README.md", "hello"),
        ("docs/recipes.md", "compensation"),
        ("docs/recipes.md", "email"),
        ("docs/recipes.md", "web"),
        ("docs/running.md", "worker"),
    ];
    for (page, example) in must {
        assert!(seen.contains(&(page.to_owned(), example.to_owned())), "{page} shows {example}");
    }
}

#[test]
fn pages_link_to_what_is_there() {
    let pages: Vec<_> = files().into_iter().filter(|(name, _)| is_a(name, "md")).collect();
    check(&pages, |name, text| {
        let folder = root().join(name).parent().unwrap().to_path_buf();
        let links = text.split("](").skip(1).filter_map(|part| part.split_once(')')).map(|(link, _)| link);
        let mut local =
            links.filter(|link| !link.contains("://") && !link.starts_with('#') && !link.is_empty());
        let broken = local.find(|link| !folder.join(link.split('#').next().unwrap_or_default()).exists());
        broken.map(|link| format!("links to {link}"))
    });
}

#[test]
fn the_macro_knows_the_rules_of_the_check() {
    let line = |file: &str| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        text.lines()
            .find_map(|line| line.split_once("const RULES: ").map(|(_, rules)| rules.to_owned()))
            .expect("a list of rules")
    };
    assert_eq!(line("nq-macros/src/ast.rs"), line("nq-core/src/export/check.rs"));
}

/// Whether a file has this ending.
fn is_a(name: &str, ending: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == ending)
}
