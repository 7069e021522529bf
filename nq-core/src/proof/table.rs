//! A hash table in a constant: open addressing, keys that are well mixed already.

/// A table of `N` places, a power of two of which at most half are taken.
pub(super) struct Table<const N: usize> {
    keys: [u64; N],
    values: [u32; N],
}

impl<const N: usize> Table<N> {
    pub(super) const fn new() -> Self {
        Self { keys: [0; N], values: [0; N] }
    }

    /// The value under `key`. If there is none, `value` is stored there first.
    pub(super) const fn intern(&mut self, key: u64, value: u32) -> u32 {
        let mut at = (key >> 16) as usize & (N - 1);
        while self.keys[at] != 0 {
            if self.keys[at] == key {
                return self.values[at];
            }
            at = (at + 1) & (N - 1);
        }
        self.keys[at] = key;
        self.values[at] = value;
        value
    }

    /// The value under `key`.
    pub(super) const fn erased(&'static self) -> Index {
        Index { keys: &self.keys, values: &self.values }
    }
}

/// A finished table, whatever its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    keys: &'static [u64],
    values: &'static [u32],
}

impl Index {
    /// The value under `key`.
    pub(super) const fn get(&self, key: u64) -> Option<u32> {
        let mask = self.keys.len() - 1;
        let mut at = (key >> 16) as usize & mask;
        while self.keys[at] != 0 {
            if self.keys[at] == key {
                return Some(self.values[at]);
            }
            at = (at + 1) & mask;
        }
        None
    }
}
