//! Answers who asks a program for its registry: `cargo xtask registry` runs it with `NQ_REGISTRY=<file>`.

use std::path::Path;
use std::process;

use nq_core::export::RegistryDocument;

use crate::handler::{linked, wired};

/// Names the file that the answer is written to.
const FILE: &str = "NQ_REGISTRY";

/// Where the registry is asked for: writes it, and ends the process before anything is opened or run.
pub fn answer() {
    let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) else { return };
    let registry = linked()
        .map_err(|error| error.to_string())
        .and_then(|handlers| wired(&handlers).map_err(|error| error.to_string()));
    let text = match &registry {
        Ok(registry) => RegistryDocument::new(registry).to_json(),
        // Told to the one who asks, since a program may keep its errors to itself.
        Err(error) => serde_json::json!({ "error": error }).to_string(),
    };
    let written = write(Path::new(&file), &text);
    process::exit(i32::from(registry.is_err() || !written));
}

/// Writes the whole answer or none: who waits for the file must not read half of it.
fn write(file: &Path, text: &str) -> bool {
    let part = file.with_extension("part");
    std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, file)).is_ok()
}
