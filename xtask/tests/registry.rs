//! `cargo xtask registry` asks real programs: an example, a library, and programs that do not answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nq_core::export::RegistryDocument;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs it, and returns its exit code, what it wrote, and what it said.
fn registry(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("registry").args(args).current_dir(root()).env_remove("RUSTFLAGS");
    // The tests share one folder for what they build.
    command.env("CARGO_TARGET_DIR", root().join("target"));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_example_is_asked_and_compared_with_itself() {
    let old = root().join("target/xtask/hello.json");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    let old = old.to_str().unwrap();
    let (code, _, said) = registry(&["--example", "hello", "-o", old]);
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(old).unwrap();
    let document = RegistryDocument::parse(&text).unwrap();
    assert_eq!(document.flows["hello"].entry.as_ref().unwrap().worker_id, "hello::greet");
    assert_eq!(document.worker("hello::shout").unwrap().file, "examples/hello.rs");

    let (code, again, _) = registry(&["--example", "hello"]);
    assert_eq!((code, again), (0, text.clone()));
    let (code, same, _) = registry(&["--from", old, "--diff", old]);
    assert_eq!((code, same.as_str()), (0, "no change that concerns runs in flight\n"));
    let (_, stamped, _) = registry(&["--from", old, "--stamp"]);
    assert!(RegistryDocument::parse(&stamped).unwrap().compiled_at.is_some());

    // A worker is renamed: the output says what happens to its jobs, and the exit code says that this breaks runs.
    let newer = format!("{old}.new");
    fs::write(&newer, text.replace("shout", "cry")).unwrap();
    let (code, told, _) = registry(&["--from", &newer, "--diff", old]);
    assert_eq!(code, 1);
    assert!(told.starts_with("breaks     [hello] worker `shout`"), "{told}");
    let (code, told, _) = registry(&["--from", &newer, "--diff", old, "--format", "json"]);
    assert_eq!(code, 1);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["breaks"], 1, "{told:#}");
    assert_eq!(told["changes"].as_array().unwrap().len(), 1, "a renamed worker is not new besides: {told:#}");
    assert_eq!(told["changes"][0]["effect"], "breaks");

    // What is suspicious stands at the worker. A hint does not fail the check, and anything else does.
    let (code, told, _) = registry(&["--from", old, "--check"]);
    assert_eq!(code, 0);
    assert!(told.contains("no-timeout (a hint): worker `greet`"), "{told}");
    assert!(told.contains("--> examples/hello.rs:"), "{told}");
    let (code, told, _) = registry(&["--from", old, "--check", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["findings"][0]["hint"]), (0, &serde_json::json!(true)));
    let mut loose = document.clone();
    loose.workers.iter_mut().for_each(|worker| worker.subscribes.clear());
    loose.event_index.clear();
    fs::write(&newer, loose.to_json()).unwrap();
    let (code, told, _) = registry(&["--from", &newer, "--check"]);
    assert_eq!(code, 1);
    assert!(told.contains("unconsumed: worker `greet` emits"), "{told}");
}

#[test]
fn the_readme_shows_the_flow_of_the_audit() {
    let (code, drawn, said) = registry(&["--example", "audit", "--format", "mermaid"]);
    assert_eq!(code, 0, "{said}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("```mermaid\n{drawn}```")), "put this into README.md:\n{drawn}");
}

#[test]
fn wrong_usage_says_what_to_write() {
    for (args, expected) in [
        (&[][..], "say which program: --example audit,"),
        (&["-p", "nowhere"], "there is no package `nowhere`"),
        (&["--from", "none.json"], "cannot read none.json"),
        (&["--from", "Cargo.toml", "--diff", "Cargo.toml"], "this is not a registry"),
        (
            &["--example", "hello", "--check", "--format", "dot"],
            "--check and --diff are written as text or json",
        ),
        (&["--example", "hello", "--format", "text"], "a registry is written as json, dot or mermaid"),
    ] {
        let (code, _, said) = registry(args);
        assert_eq!(code, 2, "{args:?}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

/// A workspace of its own: a library with a worker, one that uses nq for nothing, and programs.
fn workspace() -> PathBuf {
    let folder = root().join("target/xtask/workspace");
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(&path, text).unwrap();
        }
    };
    let nq = format!("nq = {{ path = '{}' }}", root().display());
    let package = |name: &str, needs: &str| {
        format!("[package]\nname = {name:?}\nedition = \"2024\"\n[dependencies]\n{nq}\n{needs}\n")
    };
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"parcels\", \"quiet\", \"shop\"]\n");
    write("parcels/Cargo.toml", &package("parcels", ""));
    write(
        "parcels/src/lib.rs",
        "#[nq::event]\npub struct Parcel { pub grams: u32 }\n\
         #[nq::worker(flow = \"parcels\", timeout = \"1s\")]\npub async fn weigh(_parcel: Parcel) {}\n\
         nq::registry!(library);\n",
    );
    write("quiet/Cargo.toml", &package("quiet", ""));
    write("quiet/src/lib.rs", "pub use nq;\n");
    let needs = "parcels = { path = \"../parcels\" }\nquiet = { path = \"../quiet\" }\n\
                 tokio = { version = \"1\", features = [\"rt\", \"macros\", \"time\"] }";
    write("shop/Cargo.toml", &package("shop", needs));
    let open = "#[tokio::main(flavor = \"current_thread\")]\nasync fn main() { let _ = nq::open(\"memory:\").await.unwrap(); }\n";
    write("shop/src/bin/shop.rs", &format!("nq::registry!(include = [parcels]);\n{open}"));
    write("shop/src/bin/unproven.rs", &format!("use parcels as _;\n{open}"));
    write("shop/src/bin/ends.rs", "fn main() { std::process::exit(3) }\n");
    write("shop/src/bin/hangs.rs", "fn main() { loop { std::thread::park() } }\n");
    // The same versions as here, so that nothing has to be fetched.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder.join("Cargo.toml")
}

#[test]
fn libraries_and_programs_of_another_workspace_are_asked() {
    let manifest = workspace();
    let ask = |args: &[&str]| registry(&[&["--manifest-path", manifest.to_str().unwrap()], args].concat());

    let (code, library, said) = ask(&["-p", "parcels"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(RegistryDocument::parse(&library).unwrap().workers[0].id, "parcels::weigh");
    let (code, program, said) = ask(&["--bin", "shop"]);
    assert_eq!((code, program), (0, library), "{said}");

    let (code, told, _) = ask(&["--bin", "shop", "--check"]);
    assert_eq!(code, 1);
    assert!(told.starts_with("no-workers: crate `quiet` uses nq"), "{told}");
    assert_eq!(told.matches("-->").count(), 1, "{told}");

    for (args, expected) in [
        (["--bin", "unproven"], "linked but not proven"),
        (["--bin", "ends"], "`ends` ended (exit status: 3) before it called `nq::open`"),
        (["--bin", "hangs"], "`hangs` did not call `nq::open` within 10 s and was ended"),
        (["-p", "shop"], "package `shop` has several programs: add one of --bin ends, --bin hangs"),
    ] {
        let (code, _, said) = ask(&args);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
