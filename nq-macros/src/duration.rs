//! Durations as users write them: `30s`, `1m`, `1h30m`, `250ms`.

/// The longest duration, in milliseconds: ten years. Longer ones are mistakes.
const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// The milliseconds of a duration, or why it is none.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(format!("`{rest}` does not begin with a number"));
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("`{number}` has no unit")),
            other => return Err(format!("`{other}` is no unit")),
        };
        let number: u64 = number.parse().map_err(|_| format!("`{number}` is too large"))?;
        total = number
            .checked_mul(factor)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= LONGEST_MS)
            .ok_or_else(|| "it is longer than ten years".to_owned())?;
        rest = tail.trim_start();
    }
    if total == 0 { Err("it is zero".to_owned()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::parse_ms;

    #[test]
    fn durations_are_read() {
        for (text, ms) in
            [("1ms", 1), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1d 1s", 86_401_000)]
        {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "30", "s", "30x", "-1s", "1.5s", "0s", "3651d", "99999999999999999999s", "1s2"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
