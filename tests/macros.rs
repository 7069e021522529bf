//! The macros in crates of several files, in libraries, under other names and strict lints: each folder of
//! `tests/macros` is a crate. They are copied below `target` and checked by one cargo, whose messages are compared with
//! the expected ones. `TRYBUILD=overwrite cargo test --test macros` writes the expected texts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that must compile, with all their targets and without a warning.
const FINE: &[&str] = &["not_included", "shipping", "shop", "store", "strict"];
/// Crates that must not, each with its `expected.stderr`.
const WRONG: &[&str] = &["deep_registry", "no_library", "open_end"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies these crates into a workspace of their own, and returns its folder.
fn workspace(name: &str, crates: &[&str]) -> PathBuf {
    let folder = root().join("target/tests/macros").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    for name in crates {
        copy(&root().join("tests/macros").join(name), &folder.join(name));
    }
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = {crates:?}\n[workspace.dependencies]\n\
         nq = {{ path = '{}', default-features = false }}\nserde = \"1\"\n",
        root().display()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The same versions as here, so that nothing has to be fetched.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            let text = fs::read_to_string(path).unwrap();
            fs::write(target, text.replace("@root@", root().to_str().unwrap())).unwrap();
        }
    }
}

/// Runs cargo in a workspace, and returns its standard output and what it says.
fn cargo(folder: &Path, args: &[&str]) -> (String, String) {
    run(Command::new(env!("CARGO")).args(args), folder)
}

fn run(command: &mut Command, folder: &Path) -> (String, String) {
    let output = command
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target/tests/macros/target"))
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// What rustc says about each crate, without the machine's own paths.
fn diagnostics(folder: &Path, command: &[&str]) -> BTreeMap<String, String> {
    let (stdout, stderr) =
        cargo(folder, &[command, &["--message-format=json", "--offline", "--keep-going"]].concat());
    assert!(stdout.contains("\"reason\":\"build-finished\""), "{stderr}");
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in stdout.lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let rendered = message["message"]["rendered"].as_str().unwrap_or_default();
        let is_summary =
            rendered.starts_with("error: aborting") || rendered.starts_with("For more information");
        // Of the copied crates only: those of this repository are judged elsewhere.
        let is_copy =
            message["manifest_path"].as_str().is_some_and(|path| Path::new(path).starts_with(folder));
        if message["reason"] == "compiler-message" && !is_summary && is_copy {
            let name = message["target"]["name"].as_str().unwrap().to_owned();
            let rendered = rendered.replace(&format!("{}/", root().display()), "$NQ/");
            said.entry(name).or_default().push_str(&rendered);
        }
    }
    said
}

#[test]
fn crates_of_all_kinds_compile() {
    let folder = workspace("fine", FINE);
    assert_eq!(diagnostics(&folder, &["check", "--workspace", "--all-targets"]), BTreeMap::new());
    assert_eq!(diagnostics(&folder, &["clippy", "-p", "strict"]), BTreeMap::new());
    let (said, stderr) = cargo(&folder, &["run", "--offline", "--quiet", "-p", "not_included"]);
    assert_eq!(
        said,
        "worker `shipping::steps::ship` is linked but not proven: add `nq::registry!(include = [shipping]);` in the root of the program\n",
        "{stderr}"
    );
}

#[test]
fn crates_with_mistakes_say_what_to_write() {
    let folder = workspace("wrong", &[WRONG, &["shipping"]].concat());
    let said = diagnostics(&folder, &["check", "--workspace"]);
    assert_eq!(said.keys().map(String::as_str).collect::<Vec<_>>(), WRONG);
    for (name, said) in said {
        let expected = root().join("tests/macros").join(name).join("expected.stderr");
        if std::env::var("TRYBUILD").is_ok_and(|what| what == "overwrite") {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&expected).unwrap_or_default(), "{}", expected.display());
    }
}

#[test]
fn the_same_source_expands_the_same_and_nothing_is_written() {
    let folder = workspace("twice", &["shipping", "shop", "store"]);
    // `-Z` options are for an unstable compiler; what is not of this workspace is compiled as ever.
    let unstable = folder.join("unstable.sh");
    fs::write(&unstable, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec \"$@\"\n").unwrap();
    fs::set_permissions(&unstable, fs::Permissions::from_mode(0o755)).unwrap();
    let expand = || {
        let main = folder.join("shop/src/main.rs");
        // Written anew, or cargo would not compile it again.
        fs::write(&main, fs::read_to_string(&main).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO"));
        command.args(["rustc", "--offline", "-p", "shop", "--bin", "shop", "--profile", "check"]);
        command.args(["--", "-Zunpretty=expanded"]).env("RUSTC_WORKSPACE_WRAPPER", &unstable);
        let (expanded, stderr) = run(&mut command, &folder);
        assert!(expanded.contains("__NqRegistry"), "{stderr}");
        expanded
    };
    let before = files(&folder);
    let first = expand();
    assert_eq!(first, expand());
    assert_eq!(before, files(&folder));
}

/// All files below a folder, with their contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut self::files(&path));
        } else if path.file_name().is_some_and(|name| name != "Cargo.lock") {
            files.insert(path.clone(), fs::read_to_string(path).unwrap());
        }
    }
    files
}

#[test]
fn a_doctest_lists_its_workers() {
    let folder = workspace("doctest", &["documented"]);
    let (said, stderr) = cargo(&folder, &["test", "--offline", "--doc", "-p", "documented"]);
    assert!(said.contains("1 passed; 1 failed"), "{said}{stderr}");
    assert!(said.contains("help: list them: `nq::registry![charge, ship]`"), "{said}");
}

/// rust-analyzer, as an editor runs it, finds no error in the examples and in these crates. Skipped where rust-analyzer
/// or the sources of the standard library are missing, without which it knows no type.
#[test]
fn rust_analyzer_finds_nothing_wrong() {
    let ask = |name: &str, args: &[&str]| {
        let output = Command::new(name).args(args).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let library = std::env::var_os("RUST_SRC_PATH").map(PathBuf::from).or_else(|| {
        ask("rustc", &["--print", "sysroot"])
            .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library"))
    });
    if ask("rust-analyzer", &["--version"]).is_none() || !library.is_some_and(|library| library.exists()) {
        return;
    }
    for (folder, part) in [(workspace("editor", FINE), ""), (root().to_owned(), "examples")] {
        let output = Command::new("rust-analyzer").arg("diagnostics").arg(&folder).output().unwrap();
        // Lines of progress end with a return only.
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
        assert!(said.contains("diagnostic scan complete"), "{said}");
        let place = format!("file {}", folder.join(part).display());
        let is_error = |line: &&str| line.contains(&place) && line.contains(": Error ");
        let errors: Vec<_> = said.lines().filter(is_error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
