//! The walk over made-up crates: which file holds what, and what is found there.

use std::path::Path;

use quote::ToTokens;

use super::scan;

/// Scans `src/lib.rs` of a crate with these files, and compares what is found, with its conditions.
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let read = |path: &Path| {
        let path = path.to_str().unwrap();
        files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    };
    let found = scan(Path::new("src/lib.rs"), &["nq"], &read);
    let found: Vec<String> = found
        .iter()
        .map(|found| {
            let (file, line) = &found.place;
            assert_eq!(*line, 1);
            let path = format!("{} {}", file.display(), found.function);
            let cfgs = found.cfgs.iter().map(|cfg| format!(" if {}", cfg.to_token_stream()));
            let text = path + &cfgs.collect::<String>();
            text.replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(" ,", ",")
        })
        .collect();
    assert_eq!(found, expected);
}

const STEP: &str =
    "#[nq::worker(flow = \"order\")] pub(crate) async fn step(o: O) -> nq::Result<()> { mod x {} }";

#[test]
fn modules_are_found_where_rustc_finds_them() {
    check(&[("src/lib.rs", STEP)], &["src/lib.rs step"]);
    check(
        &[("src/lib.rs", "mod a; pub mod b;"), ("src/a.rs", STEP), ("src/b/mod.rs", STEP)],
        &["src/a.rs step", "src/b/mod.rs step"],
    );
    check(&[("src/lib.rs", "mod a;"), ("src/a.rs", "mod b;"), ("src/a/b.rs", STEP)], &["src/a/b.rs step"]);
    check(
        &[("src/lib.rs", "mod a;"), ("src/a/mod.rs", "mod b;"), ("src/a/b.rs", STEP)],
        &["src/a/b.rs step"],
    );
    check(&[("src/lib.rs", "mod a { mod b { mod c; } }"), ("src/a/b/c.rs", STEP)], &["src/a/b/c.rs step"]);
    check(&[("src/lib.rs", "mod r#type;"), ("src/type.rs", STEP)], &["src/type.rs step"]);
    check(&[("src/lib.rs", "mod gone;")], &[]);
}

#[test]
fn paths_lead_elsewhere() {
    check(
        &[("src/lib.rs", "#[path = \"x/y.rs\"] mod a;"), ("src/x/y.rs", "mod b;"), ("src/x/b.rs", STEP)],
        &["src/x/b.rs step"],
    );
    check(
        &[("src/lib.rs", "mod a;"), ("src/a.rs", "#[path = \"z.rs\"] mod b;"), ("src/z.rs", STEP)],
        &["src/z.rs step"],
    );
    check(&[("src/lib.rs", "#[path = \"x\"] mod a { mod b; }"), ("src/x/b.rs", STEP)], &["src/x/b.rs step"]);
    check(
        &[
            ("src/lib.rs", "#[cfg_attr(unix, path = \"unix.rs\")] mod a;"),
            ("src/unix.rs", STEP),
            ("src/a.rs", STEP),
        ],
        &["src/unix.rs step if unix", "src/a.rs step if not(any(all(unix)))"],
    );
    // A circle ends.
    check(&[("src/lib.rs", "#[path = \"lib.rs\"] mod a;")], &[]);
}

#[test]
fn conditions_are_kept() {
    check(
        &[("src/lib.rs", "#[cfg(feature = \"a\")] mod a;"), ("src/a.rs", &format!("#![cfg(unix)] {STEP}"))],
        &["src/a.rs step if feature = \"a\" if unix"],
    );
    check(
        &[(
            "src/lib.rs",
            "#[cfg(test)] #[nq::worker] async fn a(o: O) {} #[nq::worker] #[cfg(unix)] async fn b(o: O) {}",
        )],
        &["src/lib.rs a if test", "src/lib.rs b if unix"],
    );
    check(
        &[(
            "src/lib.rs",
            "#[cfg_attr(feature = \"a\", nq::worker(flow = \"x\"), cfg(unix))] async fn a(o: O) {}",
        )],
        &["src/lib.rs a if any(not(all(feature = \"a\")), unix) if feature = \"a\""],
    );
}

#[test]
fn only_the_workers_of_nq_are_taken() {
    check(
        &[(
            "src/lib.rs",
            "use nq::worker; #[worker] async fn a(o: O) {} mod b { use super::*; #[worker] async fn c() {} }",
        )],
        &["src/lib.rs a", "src/lib.rs c"],
    );
    check(
        &[
            ("src/lib.rs", "use nq::worker as job; mod b; mod c;"),
            ("src/b.rs", "use super::*; #[job] async fn a() {}"),
            ("src/c.rs", "#[job] async fn a() {}"),
        ],
        &["src/b.rs a"],
    );
    check(&[("src/lib.rs", "#[worker] async fn a(o: O) {} #[apalis::worker] async fn b(o: O) {}")], &[]);
}

#[test]
fn what_only_looks_like_a_worker_is_left() {
    let source = "
        #!/usr/bin/env run
        macro_rules! make { () => { #[nq::worker] async fn a(o: O) {} } }
        impl A { #[nq::worker] async fn b(&self) {} }
        fn c() { #[nq::worker] async fn d(o: O) {} }
        #[nq::worker] struct E;
        fn f() {}
        #[nq::worker] const G: fn(u8) = |_| ();
        async fn h(o: O) {}
        // #[nq::worker] async fn i() {}
        const J: &str = \"#[nq::worker] async fn j() {}\";
    ";
    check(&[("src/lib.rs", source.trim_start())], &[]);
    // What does not lex is rustc's to report.
    check(&[("src/lib.rs", "mod a; }"), ("src/a.rs", STEP)], &[]);
}
