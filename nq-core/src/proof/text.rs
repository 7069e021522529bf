//! The text of an error, put together in a constant.

/// Longer texts are cut here; rustc would show them, but nobody would read them.
const LIMIT: usize = 4096;

/// A text that grows in a constant.
pub(super) struct Text {
    bytes: [u8; LIMIT],
    len: usize,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; LIMIT], len: 0 }
    }

    /// Appends `text`, or as much of it as fits.
    pub(super) const fn push(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && self.len < LIMIT {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    /// Appends `` `name` ``.
    pub(super) const fn name(&mut self, name: &str) -> &mut Self {
        self.push("`").push(name).push("`")
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The text; what was cut inside a character is shown without that character.
    pub(super) const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(error) => match core::str::from_utf8(self.bytes.split_at(error.valid_up_to()).0) {
                Ok(text) => text,
                Err(_) => "",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Text};

    #[test]
    fn grows_and_is_cut_between_characters() {
        let mut text = Text::new();
        text.push("worker ").name("ship").push(" has mistakes");
        assert_eq!(text.as_str(), "worker `ship` has mistakes");
        let mut text = Text::new();
        text.push("x").push(&"é".repeat(LIMIT));
        assert_eq!(text.as_str().chars().count(), LIMIT / 2);
    }
}
