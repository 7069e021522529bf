//! Hashes of names and paths, the same in constants and at run time.

/// An odd number with well-mixed bits; multiplying by it and folding the halves spreads every bit.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes `word` into `hash`. A 128-bit product cannot overflow, and unlike `wrapping_mul` is no call.
const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word) as u128 * SPREAD as u128;
    (product >> 64) as u64 ^ product as u64
}

/// The hash of a text, never zero.
pub(super) const fn hash(text: &str) -> u64 {
    let (words, tail) = text.as_bytes().as_chunks::<8>();
    let mut hash = mix(SPREAD, text.len() as u64 + 1);
    let mut at = 0;
    while at < words.len() {
        let product = (hash ^ u64::from_le_bytes(words[at])) as u128 * SPREAD as u128;
        hash = (product >> 64) as u64 ^ product as u64;
        at += 1;
    }
    let mut word = 0;
    at = 0;
    while at < tail.len() {
        word = word << 8 | tail[at] as u64;
        at += 1;
    }
    mix(hash, word) | 1
}

/// Under what a worker's definition lies: the hash of its path inside the crate, from the module's path and
/// the function's name. `registry!` computes the same from the files that it reads.
pub const fn slot(module: &str, function: &str) -> u64 {
    let module = module.as_bytes();
    let mut at = 0;
    while at < module.len() && module[at] != b':' {
        at += 1;
    }
    let inside = fnv(0xcbf2_9ce4_8422_2325, module.split_at(at).1);
    fnv(fnv(inside, b"::"), function.as_bytes())
}

const fn fnv(mut hash: u64, text: &[u8]) -> u64 {
    let mut at = 0;
    while at < text.len() {
        hash = ((hash ^ text[at] as u64) as u128 * 0x0100_0000_01b3) as u64;
        at += 1;
    }
    hash
}

/// The hash of a pair of hashes, in the given order; never zero.
pub(super) const fn join(left: u64, right: u64) -> u64 {
    mix(mix(left, SPREAD), right) | 1
}

/// Whether two texts are the same.
pub(super) const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let ((left, left_tail), (right, right_tail)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let mut at = 0;
    while at < left.len() {
        if u64::from_le_bytes(left[at]) != u64::from_le_bytes(right[at]) {
            return false;
        }
        at += 1;
    }
    at = 0;
    while at < left_tail.len() {
        if left_tail[at] != right_tail[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{hash, join, same, slot};

    #[test]
    fn slots_are_those_that_the_registry_computes() {
        assert_eq!(slot("shop", "charge"), 0xdbcb_d0d0_55e3_5b81);
        assert_eq!(slot("shop::steps", "r#type"), 0xcf0f_106b_c9af_bd57);
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
            "shop::steps::charge",
            "shop::steps::chargf",
        ];
        for (at, left) in texts.iter().enumerate() {
            for right in &texts[at + 1..] {
                assert_ne!(hash(left), hash(right), "{left} {right}");
                assert_ne!(join(hash(left), hash(right)), join(hash(right), hash(left)));
                assert!(!same(left, right));
            }
            assert!(same(left, left));
            assert_ne!(hash(left), 0);
        }
    }
}
