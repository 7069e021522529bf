//! Keys: hashes of texts by which the proof finds workers, flows and events. The macros compute a key where they see the
//! text, because that costs least; else a constant computes it.
//!
//! Constant evaluation takes about a microsecond for a simple operation and one more for a call, so texts are
//! read eight bytes at a time.

/// What a path is hashed with.
pub const PATH: u64 = 0x6a09_e667_f3bc_c909;
/// What the name of a flow is hashed with.
pub const FLOW: u64 = 0xbb67_ae85_84ca_a73b;
/// What the name of a worker is hashed with.
pub const WORKER: u64 = 0x3c6e_f372_fe94_f82b;
/// What the name of an event is hashed with.
pub const EVENT: u64 = 0xa54f_f53a_5f1d_36f1;

/// An odd number with well-mixed bits; multiplying by it and folding the halves spreads every bit.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15;

/// The key of a text. Keys with different seeds are independent, so the exclusive or of two is a key of the
/// pair. The macros compute the same.
pub const fn of(seed: u64, text: &str) -> u64 {
    let text = text.as_bytes();
    let (words, tail) = text.as_chunks::<8>();
    // A 128-bit product cannot overflow, and unlike `wrapping_mul` is no call.
    let mut product = (seed ^ text.len() as u64) as u128 * SPREAD;
    let mut at = 0;
    while at < words.len() {
        product = ((product >> 64) as u64 ^ product as u64 ^ little(words[at])) as u128 * SPREAD;
        at += 1;
    }
    if !tail.is_empty() {
        let word = match text.last_chunk::<8>() {
            // It reads some bytes again, which costs less than to read the others one by one.
            Some(last) => little(*last),
            None => short(tail),
        };
        product = ((product >> 64) as u64 ^ product as u64 ^ word) as u128 * SPREAD;
    }
    (product >> 64) as u64 ^ product as u64
}

/// The key of an item in a module, from the module's path and the key of the item's name.
pub const fn within(module: &str, name: u64) -> u64 {
    of(PATH, module) ^ name
}

const fn little(word: [u8; 8]) -> u64 {
    // One call less than `from_le_bytes`.
    let word = u64::from_ne_bytes(word);
    if cfg!(target_endian = "big") { word.swap_bytes() } else { word }
}

const fn short(text: &[u8]) -> u64 {
    let (mut word, mut at) = (0, 0);
    while at < text.len() {
        word = word << 8 | text[at] as u64;
        at += 1;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_macros_compute_the_same() {
        // The same numbers stand in the macros' crate.
        let keys = [of(PATH, "shop"), of(FLOW, "order"), of(EVENT, "order.paid"), of(WORKER, "r#type")];
        assert_eq!(
            keys,
            [0x0791_2c85_08e2_8b64, 0x46f9_cff4_2230_929b, 0x0b67_d3d4_499c_ad47, 0xb265_72b4_deb6_981a]
        );
    }

    #[test]
    fn neighbours_differ() {
        let texts = [
            "",
            "a",
            "b",
            "ab",
            "ba",
            "order.paid",
            "order.payed",
            "order.paix",
            "shop::steps::charge",
            "shop::steps::chargf",
        ];
        for (at, left) in texts.iter().enumerate() {
            for right in &texts[at + 1..] {
                assert_ne!(of(PATH, left), of(PATH, right), "{left} {right}");
                assert_ne!(of(FLOW, left) ^ of(EVENT, right), of(FLOW, right) ^ of(EVENT, left));
            }
            assert_ne!(of(FLOW, left), of(EVENT, left));
            assert_ne!(of(PATH, left), 0);
        }
    }
}
