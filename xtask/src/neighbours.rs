//! `cargo xtask neighbours`: tries which other SQLite crates a program can use beside nq. A program can link only one
//! `libsqlite3-sys`, so each of them limits which `rusqlite` nq gets.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{cargo, metadata, root, run as run_command};

/// Try the resolution of nq beside other SQLite crates. Asks the registry.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also compile nq with the oldest and the newest `rusqlite` that it takes, and the SQLite of the system.
    #[arg(long)]
    check: bool,
}

/// What stands beside nq in a manifest, and whether that must resolve.
const NEIGHBOURS: [(&str, bool); 14] = [
    (r#"sqlx = { version = "0.8", features = ["sqlite"] }"#, true),
    (r#"sqlx = { version = "0.9", features = ["sqlite"] }"#, true),
    (r#"diesel = { version = "2", features = ["sqlite"] }"#, true),
    (r#"sea-orm = { version = "1", features = ["sqlx-sqlite"] }"#, true),
    (r#"sea-orm = { version = "2", features = ["sqlx-sqlite"] }"#, true),
    (r#"rusqlite = "0.32""#, true),
    (r#"rusqlite = "0.43""#, true),
    (r#"tokio-rusqlite = "0.8""#, true),
    (r#"deadpool-sqlite = "0.14""#, true),
    (r#"r2d2_sqlite = "0.35""#, true),
    (r#"refinery = { version = "0.10", features = ["rusqlite"] }"#, true),
    (r#"libsql = "0.10""#, true),
    // What is known not to: older than the oldest `rusqlite` that nq works with.
    (r#"sqlx = { version = "0.7", features = ["sqlite"] }"#, false),
    (r#"rusqlite = "0.31""#, false),
];

/// What nq must compile beside.
const COMPILED: [&str; 2] = [r#"rusqlite = "0.32""#, r#"rusqlite = "0.43""#];

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = metadata(None, false)?.target_directory.join("xtask/neighbours").into_std_path_buf();
    // nq resolves beside this one; if another fails, that has another reason.
    let alone = match resolve(&folder, "", "")? {
        Ok(alone) => alone,
        Err(why) => bail!("nothing was tried: nq alone does not resolve; is the registry reachable?\n{why}"),
    };
    println!("{:<62} {alone}", "nq alone");
    let mut wrong = Vec::new();
    for (neighbour, resolves) in NEIGHBOURS {
        let (found, said) = match resolve(&folder, "", neighbour)? {
            Ok(versions) => (true, versions),
            // The registry may have gone away meanwhile.
            Err(why) if !why.contains("links to the native library `sqlite3`") => bail!("{neighbour}: {why}"),
            Err(_) => (false, "does not resolve".into()),
        };
        println!("{neighbour:<62} {said}");
        if found != resolves {
            wrong.push(neighbour);
        }
    }
    ensure!(wrong.is_empty(), "this is not what the table says of: {}", wrong.join(", "));
    for neighbour in COMPILED.iter().filter(|_| args.check) {
        let features = r#", default-features = false, features = ["sqlite-system"]"#;
        if let Err(why) = resolve(&folder, features, neighbour)? {
            bail!("{neighbour}: {why}");
        }
        println!("compiling beside {neighbour}");
        let manifest = folder.join("Cargo.toml");
        // Not in the folder of this one, which is made anew each time.
        let target = folder.with_extension("target");
        run_command(
            cargo().args(["check", "--manifest-path"]).arg(&manifest).arg("--target-dir").arg(&target),
        )?;
    }
    Ok(())
}

/// The versions with which nq of these features resolves beside this, or what cargo says.
fn resolve(folder: &Path, features: &str, neighbour: &str) -> Result<Result<String, String>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = folder.join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"neighbour\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nnq = {{ path = {:?}{features} }}\n{neighbour}\n",
        root().display().to_string()
    );
    std::fs::write(&manifest, text)?;
    let output = cargo().args(["generate-lockfile", "--manifest-path"]).arg(&manifest).output()?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).context("cargo made no lock file")?;
    let versions = |name: &str| {
        let named = format!("name = \"{name}\"");
        let mut lines = lock.lines();
        let mut found = Vec::new();
        while lines.any(|line| line == named) {
            found.extend(
                lines.next().and_then(|line| line.strip_prefix("version = ")).map(|v| v.trim_matches('"')),
            );
        }
        found.join(" and ")
    };
    Ok(Ok(format!("rusqlite {}, libsqlite3-sys {}", versions("rusqlite"), versions("libsqlite3-sys"))))
}
