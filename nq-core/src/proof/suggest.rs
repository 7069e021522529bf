//! "Did you mean": the nearest of many names, found in a constant. Only for checks that have failed.

/// Longer names are not compared.
const LONGEST: usize = 64;

/// The nearest name so far.
pub(super) struct Nearest {
    wanted: &'static str,
    best: Option<&'static str>,
    /// The largest distance at which another name is still considered; it includes names as near as the nearest.
    distance: usize,
}

impl Nearest {
    /// Looks for names like `wanted`: at most a third of it may differ.
    pub(super) const fn to(wanted: &'static str) -> Self {
        Self { wanted, best: None, distance: wanted.len() / 3 + 1 + (wanted.len() < 3) as usize }
    }

    /// Considers a name.
    pub(super) const fn consider(&mut self, candidate: &'static str) {
        let length = self.wanted.len().abs_diff(candidate.len());
        if length >= self.distance
            || candidate.len() > LONGEST
            || self.wanted.len() > LONGEST
            || letters_differ(self.wanted, candidate) > 2 * self.distance as u32
        {
            return;
        }
        let distance = edits(self.wanted.as_bytes(), candidate.as_bytes());
        let nearer = match self.best {
            // Of two that are as near, people mean the one that begins alike.
            Some(best) if distance + 1 == self.distance => {
                alike(self.wanted, candidate) > alike(self.wanted, best)
            }
            _ => distance < self.distance,
        };
        if nearer && distance > 0 {
            self.best = Some(candidate);
            self.distance = distance + 1;
        }
    }

    /// The nearest of those considered.
    pub(super) const fn name(&self) -> Option<&'static str> {
        self.best
    }
}

/// How many letters two names begin with alike.
const fn alike(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at
}

/// How many letters occur in only one of two names. Each edit changes at most two of them, so this bounds the edits.
const fn letters_differ(left: &str, right: &str) -> u32 {
    (letters(left.as_bytes()) ^ letters(right.as_bytes())).count_ones()
}

const fn letters(text: &[u8]) -> u64 {
    let (mut letters, mut at) = (0, 0);
    while at < text.len() {
        letters |= 1 << (text[at] & 63);
        at += 1;
    }
    letters
}

/// How many letters to insert, drop, replace or swap with their neighbour.
const fn edits(left: &[u8], right: &[u8]) -> usize {
    let (mut before, mut last, mut row) = ([0; LONGEST + 1], [0; LONGEST + 1], [0; LONGEST + 1]);
    let mut x = 0;
    while x <= right.len() {
        last[x] = x;
        x += 1;
    }
    let mut y = 1;
    while y <= left.len() {
        row[0] = y;
        x = 1;
        while x <= right.len() {
            let mut best = last[x - 1] + (left[y - 1] != right[x - 1]) as usize;
            if last[x] + 1 < best {
                best = last[x] + 1;
            }
            if row[x - 1] + 1 < best {
                best = row[x - 1] + 1;
            }
            if x > 1
                && y > 1
                && left[y - 1] == right[x - 2]
                && left[y - 2] == right[x - 1]
                && before[x - 2] + 1 < best
            {
                best = before[x - 2] + 1;
            }
            row[x] = best;
            x += 1;
        }
        before = last;
        last = row;
        y += 1;
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::Nearest;

    fn check(wanted: &'static str, candidates: &[&'static str], expected: Option<&str>) {
        let mut nearest = Nearest::to(wanted);
        for candidate in candidates {
            nearest.consider(candidate);
        }
        assert_eq!(nearest.name(), expected, "{wanted}");
    }

    #[test]
    fn the_nearest_is_found() {
        check("order.payed", &["order.placed", "order.paid", "order.sent"], Some("order.paid"));
        check("order.piad", &["order.paid"], Some("order.paid"));
        check("ordre", &["billing", "order"], Some("order"));
        check("order.paid", &["stock.counted", "x", ""], None);
        check("ab", &["ac"], Some("ac"));
        check("", &["ac"], None);
        let long = "x".repeat(100).leak();
        check(long, &["x"], None);
    }
}
