//! What an URL says: `sqlite:PATH`.

use std::path::PathBuf;

use nq_core::store::{ErrorKind, StoreError};

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The database file. Made, for its owner alone, if it is not there; its directory must be. What lies beside
    /// it is listed in [the module](super).
    pub path: PathBuf,
}

impl SqliteOptions {
    /// Reads an URL as [the module](super) describes it.
    ///
    /// ```
    /// use nq_runtime::store::sqlite::SqliteOptions;
    ///
    /// let options = SqliteOptions::parse("sqlite:///var/lib/my%20orders.db?mode=rwc")?;
    /// assert_eq!(options.path.to_str(), Some("/var/lib/my orders.db"));
    /// assert!(SqliteOptions::parse("sqlite::memory:").is_err());
    /// # Ok::<(), nq_runtime::store::StoreError>(())
    /// ```
    ///
    /// Fails with [`ErrorKind::Config`] where it is not such an URL, and says what to write.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let refused = |message: &str| Err(StoreError::new(ErrorKind::Config, "open", message).with_key(url));
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return refused("the URL of an SQLite file begins with `sqlite:`, as in `sqlite:orders.db`");
        };
        let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        // Also as other libraries write it: `sqlite://orders.db`, `sqlite:///var/lib/orders.db`.
        let path = path.strip_prefix("//").unwrap_or(path);
        let in_memory = parameters.split('&').any(|parameter| parameter == "mode=memory");
        if in_memory || path == ":memory:" {
            return refused("for a store that is gone with the process, write `memory:`");
        }
        if path.is_empty() {
            return refused("no path is given; write `sqlite:orders.db`");
        }
        if path.starts_with("file:") {
            return refused("`file:` is not needed; write the path itself, as in `sqlite:orders.db`");
        }
        let path = match decode(path) {
            Ok(path) => path,
            Err(why) => return refused(why),
        };
        let edge = |end: Option<char>| end.is_some_and(char::is_whitespace);
        if edge(path.chars().next()) || edge(path.chars().next_back()) {
            return refused("the path begins or ends with white space");
        }
        if path.chars().any(char::is_control) {
            return refused("the path has a control character in it, such as a line break");
        }
        if path.ends_with('/') {
            return refused("this is a directory; name a file in it");
        }
        let path = PathBuf::from(path);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter {
                "mode=rwc" => {}
                "mode=rw" if path.exists() => {}
                "mode=rw" => return refused("there is no such file; `mode=rwc`, or no mode, makes it"),
                "mode=ro" => {
                    return refused("nq cannot work on a file that it may only read; leave `mode=ro` out");
                }
                other => {
                    let other = other.split('=').next().unwrap_or_default();
                    let message = match other {
                        "mode" => {
                            "`mode` is `rwc`, which makes the file if it is not there, or `rw`".to_owned()
                        }
                        other => format!(
                            "there is no parameter `{other}`; the only one is `mode`, which is `rwc` or `rw` \
                             (write `%3F` for a `?` in the path)"
                        ),
                    };
                    return refused(&message);
                }
            }
        }
        Ok(Self { path })
    }
}

/// Replaces each `%` and two hexadecimal digits by the byte that they stand for.
fn decode(text: &str) -> Result<String, &'static str> {
    const NO_ESCAPE: &str =
        "a `%` in the path is not followed by two hexadecimal digits; write `%25` for the sign itself";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(NO_ESCAPE);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "what the path says with `%` is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_path_or_says_what_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.db");
        let served = [
            ("sqlite:orders.db", "orders.db"),
            ("sqlite://orders.db", "orders.db"),
            ("sqlite:./a/orders.db", "./a/orders.db"),
            ("sqlite:/var/lib/orders.db", "/var/lib/orders.db"),
            ("sqlite:///var/lib/orders.db", "/var/lib/orders.db"),
            ("sqlite:memory", "memory"),
            ("sqlite:orders.db?", "orders.db"),
            ("sqlite:orders.db?mode=rwc", "orders.db"),
            ("sqlite:100%25%20sure%3F.db", "100% sure?.db"),
            ("sqlite:%c3%a4.db", "ä.db"),
            ("sqlite:C:\\orders.db", "C:\\orders.db"),
            ("sqlite:a#b&c=d.db", "a#b&c=d.db"),
        ];
        for (url, path) in served {
            assert_eq!(SqliteOptions::parse(url).unwrap().path, PathBuf::from(path), "{url}");
        }
        let rw = format!("sqlite:{}?mode=rw", missing.display());
        let refused = [
            ("sqlite::memory:", "write `memory:`"),
            ("sqlite://:memory:", "write `memory:`"),
            ("sqlite::memory:?cache=shared", "write `memory:`"),
            ("sqlite:x.db?mode=memory", "write `memory:`"),
            ("sqlite:file:x.db", "write the path itself"),
            ("sqlite://file:x.db?mode=ro", "write the path itself"),
            ("sqlite:x.db?mode=ro", "only read"),
            ("sqlite:x.db?mode=", "`mode` is `rwc`"),
            ("sqlite:x.db?mode", "`mode` is `rwc`"),
            ("sqlite:x.db?mode=rwc&cache=shared", "no parameter `cache`; the only one is `mode`"),
            ("sqlite:x.db?a?b", "no parameter `a?b`"),
            (&rw, "no such file"),
            ("sqlite:", "no path is given"),
            ("sqlite://", "no path is given"),
            ("sqlite:?mode=rwc", "no path is given"),
            ("sqlite:x.db ", "white space"),
            ("sqlite: x.db", "white space"),
            ("sqlite:x.db%20", "white space"),
            ("sqlite:x.db\n", "white space"),
            ("sqlite:a\nb.db", "control character"),
            ("sqlite:a%00b.db", "control character"),
            ("sqlite:100%.db", "write `%25`"),
            ("sqlite:x%2", "write `%25`"),
            ("sqlite:x%+1.db", "write `%25`"),
            ("sqlite:%ff.db", "not UTF-8"),
            ("sqlite:folder/", "this is a directory"),
            ("sqlite3:x.db", "begins with `sqlite:`"),
        ];
        for (url, text) in refused {
            let error = SqliteOptions::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(text), "`{error}` does not say `{text}`");
        }
        std::fs::write(&missing, "").unwrap();
        assert_eq!(SqliteOptions::parse(&rw).unwrap().path, missing);
    }
}
