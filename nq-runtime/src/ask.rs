//! Writes the registry of a program to a file: `cargo xtask registry` runs the program with `NQ_REGISTRY=<file>`.

use std::path::Path;
use std::process;

use nq_core::export::RegistryDocument;

use crate::handler::{linked, wired};

/// Names the file that the answer is written to.
const FILE: &str = "NQ_REGISTRY";

/// If `NQ_REGISTRY` is set, writes the registry and ends the process before anything is opened or run.
pub fn answer() {
    let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) else { return };
    let registry = linked()
        .map_err(|error| error.to_string())
        .and_then(|handlers| wired(&handlers).map_err(|error| error.to_string()));
    let text = match &registry {
        Ok(registry) => RegistryDocument::new(registry).to_json(),
        // The error goes into the file, since a program may not print its errors.
        Err(error) => serde_json::json!({ "error": error }).to_string(),
    };
    let written = write(Path::new(&file), &text);
    process::exit(i32::from(registry.is_err() || !written));
}

/// Writes the whole file or nothing: a process that waits for the file must not read half of it.
fn write(file: &Path, text: &str) -> bool {
    let part = file.with_extension("part");
    std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, file)).is_ok()
}
