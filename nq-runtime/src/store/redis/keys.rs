//! The names of keys, and how the texts within them are written: fields are set apart by spaces, which no id
//! or name holds.

use nq_core::id::{Name, RunId};

/// What all keys of a partition begin with. Without partitions they are plain: `nq:flow:<run>`.
pub(super) fn prefix(namespace: &str, partition: u32, tagged: bool) -> String {
    if tagged { format!("{namespace}:{{{partition}}}:") } else { format!("{namespace}:") }
}

/// The partition of a run: the FNV-1a hash of its id. Persisted with every run, so never to be changed.
pub(super) fn partition_of(run: &RunId, partitions: usize) -> usize {
    let hash = run.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % partitions as u64) as usize
}

/// The slot of a key in a cluster: the CRC16 (XMODEM) of what stands in its braces.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let crc = tag.filter(|tag| !tag.is_empty()).unwrap_or(key).bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16384
}

/// Any text as one word: what would end a word or a line, and what marks an empty or shortened one, is
/// written as `%` and two digits.
pub(super) fn word(text: &str) -> String {
    if text.is_empty() {
        return "-".into();
    }
    let mut word = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let marks = at == 0 && matches!(c, '-' | '#');
        if c.is_ascii() && (c <= ' ' || matches!(c, '%' | '\u{7f}') || marks) {
            word.push('%');
            word.extend(
                [c as u32 >> 4, c as u32 & 15].into_iter().filter_map(|digit| char::from_digit(digit, 16)),
            );
        } else {
            word.push(c);
        }
    }
    word
}

/// The text of a word.
pub(super) fn unword(word: &str) -> String {
    if word == "-" {
        return String::new();
    }
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        text.push(byte.map_or('%', char::from));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    text.push_str(rest);
    text
}

/// A name out of a reply, if it is one.
pub(super) fn name(text: &str) -> Option<Name> {
    Name::new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_word_and_comes_back() {
        for text in ["", "-", "#", "a b", "%41", "\t\n\0\u{7f}", "ü/é ß", "--", "\"x\""] {
            let word = word(text);
            assert!(!word.is_empty() && !word.contains(|c: char| c.is_ascii_whitespace()), "{word:?}");
            assert_eq!(unword(&word), text);
        }
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("nq:{3}:flow:{x}"), slot("3"));
        assert_eq!(slot("a{}b"), slot("a{}b"));
    }

    #[test]
    fn a_run_stays_in_its_partition() {
        let run = |text: &str| RunId::new(text).unwrap();
        assert_eq!(partition_of(&run("a"), 1), 0);
        assert_eq!(partition_of(&run("a"), 16), 0xc);
        assert_eq!(partition_of(&run("order-7"), 16), 0xb);
    }
}
