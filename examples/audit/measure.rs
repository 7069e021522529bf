//! Measuring the source of a package: its licence, its size, and what it may do unseen.

use std::io;
use std::path::Path;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use walkdir::{DirEntry, WalkDir};

use crate::source::is_aside;

/// What was found in the source of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measure {
    /// The licence that its manifest names.
    pub(crate) licence: Option<String>,
    /// Lines of Rust that hold code: no blank lines, no comments. Tests, benches and examples that have
    /// their own directory do not count.
    pub(crate) lines: u64,
    /// How many blocks of `unsafe` are in that code, those inside of macros among them.
    pub(crate) unsafe_blocks: u64,
    /// Whether it runs code when it is built.
    pub(crate) build_script: bool,
    /// Whether it runs code inside of the compiler.
    pub(crate) proc_macro: bool,
    /// How many of its Rust files are not made of Rust tokens, and are not counted.
    pub(crate) unread_files: u64,
}

/// Measures the package in this directory.
pub(crate) fn measure(package: &Path) -> io::Result<Measure> {
    let manifest = manifest(&package.join("Cargo.toml"))?;
    let about = manifest.get("package");
    let build = about.and_then(|about| about.get("build"));
    let lib = manifest.get("lib");
    let is_set = |key: &str| lib.and_then(|lib| lib.get(key)).and_then(toml::Value::as_bool) == Some(true);
    let mut measure = Measure {
        licence: licence(package, about),
        build_script: match build {
            Some(toml::Value::Boolean(build)) => *build,
            Some(_) => true,
            None => package.join("build.rs").is_file(),
        },
        proc_macro: is_set("proc-macro") || is_set("proc_macro"),
        ..Measure::default()
    };
    for entry in WalkDir::new(package).into_iter().filter_entry(is_of_package) {
        let entry = entry?;
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|extension| extension == "rs")
        {
            match count(&std::fs::read(entry.path())?) {
                Some((lines, unsafe_blocks)) => {
                    measure.lines += lines;
                    measure.unsafe_blocks += unsafe_blocks;
                }
                None => measure.unread_files += 1,
            }
        }
    }
    Ok(measure)
}

fn manifest(path: &Path) -> io::Result<toml::Table> {
    let text = std::fs::read_to_string(path)?;
    text.parse().map_err(|error: toml::de::Error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {}", path.display(), error.message()))
    })
}

/// Whether the walk goes into this directory or takes this file.
fn is_of_package(entry: &DirEntry) -> bool {
    let other = ["tests", "benches", "examples"];
    let is_other =
        |entry: &DirEntry| entry.depth() == 1 && other.iter().any(|name| entry.file_name() == *name);
    entry.depth() == 0
        || !entry.file_type().is_dir()
        || !(is_aside(entry.file_name()) || is_other(entry) || entry.path().join("Cargo.toml").is_file())
}

/// The licence as the manifest names it, or the file that it names instead.
fn licence(package: &Path, about: Option<&toml::Value>) -> Option<String> {
    let about = about?;
    let named = match about.get("license") {
        // Cargo's older way to say it.
        Some(toml::Value::String(licence)) => Some(licence.replace('/', " OR ").replace("  ", " ")),
        // `license.workspace = true`: only where the source is not from a registry.
        Some(_) => package.ancestors().find_map(|above| {
            let manifest = manifest(&above.join("Cargo.toml")).ok()?;
            Some(manifest.get("workspace")?.get("package")?.get("license")?.as_str()?.to_owned())
        }),
        None => {
            let file = about.get("license-file").and_then(toml::Value::as_str);
            file.map(|file| format!("file {file}"))
        }
    };
    // It goes to a terminal, and anyone can publish a package.
    named.map(|text| text.chars().filter(|c| !c.is_control()).collect())
}

/// The lines of code and the `unsafe` blocks of a source file; none if it is not made of Rust tokens.
fn count(source: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(source).ok()?;
    // The lexer keeps the text of every file for its spans until it is told that they are not needed.
    proc_macro2::extra::invalidate_current_thread_spans();
    let (mut lines, mut unsafe_blocks) = (vec![false; text.lines().count() + 1], 0);
    // No recursion: generated code may nest deeper than the stack is.
    let mut pending = vec![text.parse::<TokenStream>().ok()?];
    while let Some(stream) = pending.pop() {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [token, after @ ..] = rest {
            rest = after;
            match (token, after) {
                (TokenTree::Punct(hash), [doc, after @ ..]) if hash.as_char() == '#' && is_doc(doc) => {
                    rest = after;
                }
                (TokenTree::Punct(hash), [TokenTree::Punct(_), doc, after @ ..])
                    if hash.as_char() == '#' && is_doc(doc) =>
                {
                    rest = after;
                }
                (TokenTree::Group(group), _) => {
                    mark(&mut lines, group.span_open());
                    mark(&mut lines, group.span_close());
                    pending.push(group.stream());
                }
                (TokenTree::Ident(word), [TokenTree::Group(block), ..])
                    if word == "unsafe" && block.delimiter() == Delimiter::Brace =>
                {
                    unsafe_blocks += 1;
                    mark(&mut lines, word.span());
                }
                (token, _) => mark(&mut lines, token.span()),
            }
        }
    }
    Some((lines.into_iter().filter(|holds_code| *holds_code).count() as u64, unsafe_blocks))
}

/// Marks the lines, counted from 1, that a token is on.
fn mark(lines: &mut [bool], span: Span) {
    let (start, end) = (span.start().line, span.end().line);
    lines.iter_mut().take(end + 1).skip(start).for_each(|holds_code| *holds_code = true);
}

/// Whether this is `[doc = …]`, which is what the lexer makes of a doc comment.
fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let mut inner = group.stream().into_iter();
    group.delimiter() == Delimiter::Bracket
        && matches!(inner.next(), Some(TokenTree::Ident(ident)) if ident == "doc")
        && matches!(inner.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_counted_and_text_is_not() {
        let cases = [
            ("nothing", "", (0, 0)),
            ("comments and blank lines", "// unsafe {}\n\n/* unsafe {\n} */\n", (0, 0)),
            ("docs", "//! unsafe {}\n/// unsafe {}\nfn f() {}\n", (1, 0)),
            ("an attribute is code", "#![allow(dead_code)]\n#[inline]\nfn f() {}\n", (3, 0)),
            ("a string over three lines", "const S: &str = \"unsafe {\n\n}\";\n", (3, 0)),
            ("a block", "fn f() {\n    unsafe { g() }\n}\n", (3, 1)),
            ("blocks within blocks", "fn f() { unsafe { unsafe { g() } } }", (1, 2)),
            ("a block in a macro", "macro_rules! m { () => { unsafe { g() } } }", (1, 1)),
            ("unsafe, but no block", "unsafe fn f() {}\nunsafe impl T for S {}\nunsafe trait T {}\n", (3, 0)),
            ("a raw name", "fn f() { r#unsafe {} }", (1, 0)),
        ];
        for (case, source, expected) in cases {
            assert_eq!(count(source.as_bytes()), Some(expected), "{case}");
        }
        assert_eq!(count(b"fn f( {"), None);
        assert_eq!(count(b"\xff"), None);
        let deep = "(".repeat(100_000) + &")".repeat(100_000);
        assert_eq!(count(deep.as_bytes()), Some((1, 0)));
    }

    fn package(files: &[(&str, &str)]) -> (tempfile::TempDir, io::Result<Measure>) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let measured = measure(&dir.path().join("package"));
        (dir, measured)
    }

    #[test]
    fn a_package_is_measured_by_its_manifest_and_its_own_sources() {
        let (_dir, measured) = package(&[
            ("package/Cargo.toml", "[package]\nlicense = \"MIT/Apache-2.0\"\n[lib]\nproc-macro = true\n"),
            ("package/build.rs", "fn main() {}\n"),
            ("package/src/lib.rs", "mod deep;\n"),
            ("package/src/deep/mod.rs", "fn f() {\n    unsafe { g() }\n}\n"),
            ("package/src/template.rs", "{{ not rust \n"),
            ("package/src/notes.txt", "unsafe { }\n"),
            ("package/tests/t.rs", "fn t() {}\n"),
            ("package/examples/e.rs", "fn e() {}\n"),
            ("package/target/debug/out.rs", "fn o() {}\n"),
            ("package/other/Cargo.toml", "[package]\n"),
            ("package/other/src/lib.rs", "fn other() {}\n"),
        ]);
        let expected = Measure {
            licence: Some("MIT OR Apache-2.0".into()),
            lines: 5,
            unsafe_blocks: 1,
            build_script: true,
            proc_macro: true,
            unread_files: 1,
        };
        assert_eq!(measured.unwrap(), expected);
    }

    #[test]
    fn licences_and_build_scripts_are_found_where_manifests_put_them() {
        let workspace = ("Cargo.toml", "[workspace.package]\nlicense = \"Zlib\"\n");
        let cases = [
            ("license = \"MIT\"\nbuild = false", Some("MIT"), false),
            ("license-file = \"legal/LICENSE\"\nbuild = \"make.rs\"", Some("file legal/LICENSE"), true),
            ("license.workspace = true", Some("Zlib"), true),
            ("", None, true),
        ];
        for (about, licence, build_script) in cases {
            let manifest = format!("[package]\n{about}\n");
            let files = [workspace, ("package/Cargo.toml", &manifest), ("package/build.rs", "")];
            let measured = package(&files).1.unwrap();
            assert_eq!(
                (measured.licence.as_deref(), measured.build_script),
                (licence, build_script),
                "{about}"
            );
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_an_error() {
        assert_eq!(package(&[("package/x", "")]).1.unwrap_err().kind(), io::ErrorKind::NotFound);
        let error = package(&[("package/Cargo.toml", "[package\n")]).1.unwrap_err();
        assert!(error.to_string().contains("Cargo.toml: "), "{error}");
    }
}
