//! Keys: hashes of texts by which the proof finds workers, flows and events, computed here where the text is
//! seen. `nq_core::keys` computes the same in constants, and says what the keys are for.

use std::ffi::OsStr;
use std::path::{Component, Path};

/// What a path is hashed with.
pub(crate) const PATH: u64 = 0x6a09_e667_f3bc_c909;
/// What the name of a flow is hashed with.
pub(crate) const FLOW: u64 = 0xbb67_ae85_84ca_a73b;
/// What the name of a worker is hashed with.
pub(crate) const WORKER: u64 = 0x3c6e_f372_fe94_f82b;
/// What the name of an event is hashed with.
pub(crate) const EVENT: u64 = 0xa54f_f53a_5f1d_36f1;

const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15;

/// The key of a text.
pub(crate) fn of(seed: u64, text: &str) -> u64 {
    let text = text.as_bytes();
    let (words, tail) = text.as_chunks::<8>();
    let fold = |product: u128| (product >> 64) as u64 ^ product as u64;
    let mut product = u128::from(seed ^ text.len() as u64) * SPREAD;
    let mut mix = |word: u64| product = u128::from(fold(product) ^ word) * SPREAD;
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    if !tail.is_empty() {
        mix(match text.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => tail.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        });
    }
    fold(product)
}

/// The key of a worker's definition, made from the place of its function. `registry!` finds the same place in the files
/// that it reads.
pub(crate) fn slot(file: &Path, line: u32, function: &str) -> u64 {
    // rustc and the walk may join paths differently, so the same file may have several spellings.
    let mut path: Vec<&OsStr> = Vec::new();
    for part in file.components() {
        match part {
            Component::ParentDir if path.last().is_some_and(|last| *last != "..") => _ = path.pop(),
            Component::CurDir => {}
            part => path.push(part.as_os_str()),
        }
    }
    let path: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    of(PATH, &format!("{}:{line}", path.join("/"))) ^ of(WORKER, function)
}

#[cfg(test)]
mod tests {
    use super::{EVENT, FLOW, PATH, Path, WORKER, of, slot};

    #[test]
    fn constants_compute_the_same() {
        // The same numbers stand in `nq_core::keys`.
        let keys = [of(PATH, "shop"), of(FLOW, "order"), of(EVENT, "order.paid"), of(WORKER, "r#type")];
        assert_eq!(
            keys,
            [0x0791_2c85_08e2_8b64, 0x46f9_cff4_2230_929b, 0x0b67_d3d4_499c_ad47, 0xb265_72b4_deb6_981a]
        );
    }
    #[test]
    fn a_slot_is_a_place() {
        let place = |file: &str, line| slot(Path::new(file), line, "charge");
        assert_eq!(place("src/a.rs", 3), place("src/b/.././a.rs", 3));
        assert_ne!(place("src/a.rs", 3), place("src/a.rs", 4));
        assert_ne!(place("src/a.rs", 3), place("a.rs", 3));
        assert_ne!(place("src/a.rs", 3), place("../src/a.rs", 3));
        assert_ne!(place("../../a.rs", 3), place("a.rs", 3));
    }
}
