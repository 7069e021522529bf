//! The error index: each page of `docs/errors` shows cases of `tests/ui/fail` as they are, and every case has a
//! page. `TRYBUILD=overwrite cargo test --test errors` writes the cases into the pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the files in a folder with this ending.
fn names(folder: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(end).map(ToOwned::to_owned)).collect();
    names.sort();
    names
}

fn page(name: &str) -> PathBuf {
    root().join("docs/errors").join(format!("{name}.md"))
}

/// A case as a page shows it.
fn shown(case: &str) -> String {
    let read = |end: &str| {
        let path = root().join("tests/ui/fail").join(format!("{case}.{end}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    format!("\n```rust\n{}```\n\n```text\n{}\n```\n", read("rs"), read("stderr").trim_end())
}

/// The page with each case between its marks replaced by what the case is now.
fn renewed(text: &str) -> String {
    let mut parts = text.split("<!-- case: ");
    let mut renewed = parts.next().unwrap().to_owned();
    for part in parts {
        let (case, rest) = part.split_once(" -->").unwrap();
        let (_, rest) = rest.split_once("<!-- end -->").unwrap();
        let shown = shown(case);
        renewed.extend(["<!-- case: ", case, " -->", &shown, "\n<!-- end -->", rest]);
    }
    renewed
}

#[test]
fn pages_show_the_cases_as_they_are() {
    for name in names("docs/errors", ".md") {
        let (path, text) = (page(&name), fs::read_to_string(page(&name)).unwrap());
        let renewed = renewed(&text);
        if std::env::var("TRYBUILD").is_ok_and(|what| what == "overwrite") {
            fs::write(path, renewed).unwrap();
        } else {
            assert_eq!(text, renewed, "{name}");
        }
    }
}

#[test]
fn every_case_has_one_page_and_every_page_is_listed() {
    let pages = names("docs/errors", ".md");
    let index = fs::read_to_string(page("README")).unwrap();
    let mut cases: BTreeMap<String, usize> = BTreeMap::new();
    for name in pages.iter().filter(|name| *name != "README") {
        assert!(index.contains(&format!("({name}.md)")), "the index does not list {name}");
        let text = fs::read_to_string(page(name)).unwrap();
        for case in names("tests/ui/fail", ".rs") {
            let named =
                text.contains(&format!("<!-- case: {case} -->")) || text.contains(&format!("`{case}`"));
            *cases.entry(case).or_default() += usize::from(named);
        }
    }
    let wrong: Vec<_> = cases.iter().filter(|(_, pages)| **pages != 1).collect();
    assert!(wrong.is_empty(), "cases with another number of pages than one: {wrong:?}");
}

#[test]
fn pages_that_messages_name_exist() {
    let mut named = 0;
    for case in names("tests/ui/fail", ".stderr") {
        let path = root().join("tests/ui/fail").join(format!("{case}.stderr"));
        for part in fs::read_to_string(path).unwrap().split("docs/errors/").skip(1) {
            let name = part.split(".md").next().unwrap();
            assert!(page(name).exists(), "{case} names {name}");
            named += 1;
        }
    }
    assert!(named > 0);
}
