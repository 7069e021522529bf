//! What a URL says: where the server is, who asks, and how the namespace is laid out.

use std::path::PathBuf;
use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};

/// Everything that a URL says. The module of the store documents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) topology: Topology,
    /// Hosts and ports: of the server, the sentinels, or some nodes of the cluster.
    pub(super) hosts: Vec<(String, u16)>,
    /// How to speak TLS, where the scheme asks for it.
    pub(super) tls: Option<Tls>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
    pub(super) namespace: String,
    /// In how many parts the namespace is laid out, if the URL says so.
    pub(super) partitions: Option<u32>,
    pub(super) durability: Durability,
    pub(super) allow_volatile: bool,
    /// How long replicas or a disk may take to confirm.
    pub(super) confirm: Duration,
    /// The URL as errors show it: without user and password.
    pub(super) shown: String,
}

/// Files in PEM form. They are read for each connection, so that they can be renewed in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Whose certificates are trusted, in place of those that the system trusts.
    pub(super) ca: Option<PathBuf>,
    /// The client's certificate, where the server asks for one.
    pub(super) cert: Option<PathBuf>,
    /// The key of the client's certificate.
    pub(super) key: Option<PathBuf>,
}

/// What stands behind the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One server.
    Single,
    /// Sentinels that know the master of this name.
    Sentinel(String),
    /// A cluster.
    Cluster,
}

/// What must have happened before a start, an act or an effect is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// What the server's configuration gives.
    Relaxed,
    /// It is on the disk of the server.
    Fsync,
    /// A replica has it.
    Replicated,
}

impl Options {
    /// Reads a URL: `redis[s][+sentinel|+cluster]://[user:password@]host[:port][,host…][/master][/db][?option=value&…]`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let shown = shown(url);
        let bad = |message: String| StoreError::new(ErrorKind::Config, "open", message).with_key(&shown);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad(form("it has no `://`")))?;
        let (tls, topology) = match scheme {
            "redis" => (false, Topology::Single),
            "rediss" => (true, Topology::Single),
            "redis+sentinel" => (false, Topology::Sentinel(String::new())),
            "rediss+sentinel" => (true, Topology::Sentinel(String::new())),
            "redis+cluster" => (false, Topology::Cluster),
            "rediss+cluster" => (true, Topology::Cluster),
            other => return Err(bad(form(&format!("`{other}` is no scheme of it")))),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let given = |text: &str| (!text.is_empty()).then(|| decoded(text));

        let port = if matches!(topology, Topology::Sentinel(_)) { 26379 } else { 6379 };
        let hosts: Vec<_> = hosts
            .split(',')
            // Only a URL that names no host at all means this machine.
            .map(|host| {
                if host.is_empty() && hosts.contains(',') {
                    Err("an empty host".into())
                } else {
                    host_port(host, port)
                }
            })
            .collect::<Result<_, _>>()
            .map_err(|host: String| {
                // It may be the beginning of a password.
                if path.contains('@') || query.contains('@') {
                    bad(form("write `/` and `?` in a user or password as `%2F` and `%3F`"))
                } else {
                    bad(form(&format!("`{host}` is no host and port")))
                }
            })?;

        // A slash at the end says nothing.
        let mut path = path.strip_suffix('/').unwrap_or(path).split('/').filter(|path| !path.is_empty());
        let topology = match topology {
            Topology::Sentinel(_) => Topology::Sentinel(
                path.next()
                    .map(decoded)
                    .ok_or_else(|| bad(form("it names no master after the sentinels")))?,
            ),
            other => other,
        };
        let db = path.next().map_or(Ok(0), str::parse::<u32>);
        let db = db.map_err(|_| bad(form("the database is no number")))?.into();
        if let Some(more) = path.next() {
            return Err(bad(form(&format!("nothing stands behind the database, and here `/{more}` does"))));
        }
        if topology == Topology::Cluster && db != 0 {
            return Err(bad(form("a cluster has no numbered databases")));
        }

        let mut options = Self {
            topology,
            hosts,
            tls: tls.then(Tls::default),
            user: given(user),
            password: given(password),
            db,
            namespace: "nq".into(),
            partitions: None,
            durability: Durability::Relaxed,
            allow_volatile: false,
            confirm: Duration::from_secs(2),
            shown: shown.clone(),
        };
        let mut set = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            options.set(key, &decoded(value)).map_err(bad)?;
            if set.contains(&key) {
                return Err(bad(format!("`{key}` stands twice in the URL; give it once")));
            }
            set.push(key);
        }
        if options.tls.as_ref().is_some_and(|tls| tls.cert.is_some() != tls.key.is_some()) {
            return Err(bad("`tls_cert` and `tls_key` belong together: one of them is missing".into()));
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "namespace" => {
                let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}');
                if value.is_empty() || value.contains(strange) {
                    return Err(format!("the namespace `{value}` is empty or holds white space or braces"));
                }
                value.clone_into(&mut self.namespace);
            }
            "partitions" => {
                let number = value.parse().ok().filter(|number| (1..=256).contains(number));
                self.partitions = Some(
                    number.ok_or_else(|| format!("`partitions={value}`: it is a number from 1 to 256"))?,
                );
            }
            "durability" => {
                self.durability = match value {
                    "relaxed" => Durability::Relaxed,
                    "fsync" => Durability::Fsync,
                    "replicated" => Durability::Replicated,
                    _ => {
                        return Err(format!(
                            "`durability={value}`: it is one of `fsync`, `replicated`, `relaxed`"
                        ));
                    }
                };
            }
            "tls_ca" | "tls_cert" | "tls_key" => {
                let tls = self.tls.as_mut();
                let tls =
                    tls.ok_or_else(|| format!("`{key}` is of no use without TLS: write `rediss://`"))?;
                if value.is_empty() {
                    return Err(format!("`{key}=`: it names a file in PEM form"));
                }
                let path = Some(PathBuf::from(value));
                match key {
                    "tls_ca" => tls.ca = path,
                    "tls_cert" => tls.cert = path,
                    _ => tls.key = path,
                }
            }
            "allow_volatile" => {
                self.allow_volatile = value
                    .parse()
                    .map_err(|_| format!("`allow_volatile={value}`: it is one of `true`, `false`"))?;
            }
            _ => {
                return Err(format!(
                    "unknown option `{key}`; options are `namespace`, `partitions`, `durability`, `allow_volatile`, `tls_ca`, `tls_cert`, `tls_key`"
                ));
            }
        }
        Ok(())
    }
}

/// A URL without what stands before its hosts, which may be a password. Where that cannot be told from the rest, the
/// rest is left out, too.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.split_once(':').map_or(url, |(scheme, _)| scheme).to_owned();
    };
    let (hosts, query) = rest.split_once('?').map_or((rest, None), |(hosts, query)| (hosts, Some(query)));
    let login = hosts.contains('@');
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    match query {
        // A password that holds a `?` ends behind it.
        Some(query) if !login && query.contains('@') => format!("{scheme}://…"),
        Some(query) => format!("{scheme}://{hosts}?{query}"),
        None => format!("{scheme}://{hosts}"),
    }
}

fn form(what: &str) -> String {
    format!(
        "this is no URL of Redis: {what}; it has the form `redis[s]://[user:password@]host[:port][/db][?option=value]`, `redis[s]+sentinel://[user:password@]host[:port][,host…]/master[/db][?option=value]` or `redis[s]+cluster://[user:password@]host[:port][,host…][?option=value]`"
    )
}

fn host_port(text: &str, port: u16) -> Result<(String, u16), String> {
    if text.is_empty() {
        return Ok(("127.0.0.1".into(), port));
    }
    // An IPv6 address stands in brackets.
    let (host, rest) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(|| text.to_owned())?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = rest.map_or(Ok(port), str::parse).map_err(|_| text.to_owned())?;
    if host.is_empty() || port == 0 {
        return Err(text.to_owned());
    }
    Ok((host.to_owned(), port))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let byte = hex.filter(|_| bytes[at] == b'%');
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who_and_how() {
        let options = Options::parse(
            "rediss://worker:p%40ss@example.test:7000/3?namespace=shop&partitions=16&durability=fsync",
        )
        .unwrap();
        assert_eq!(options.tls, Some(Tls::default()));
        assert_eq!(options.hosts, [("example.test".to_owned(), 7000)]);
        assert_eq!((options.user.as_deref(), options.password.as_deref()), (Some("worker"), Some("p@ss")));
        assert_eq!((options.db, options.namespace.as_str(), options.partitions), (3, "shop", Some(16)));
        assert_eq!(options.durability, Durability::Fsync);
    }

    #[test]
    fn a_url_names_the_files_of_tls() {
        let options =
            Options::parse("rediss://h?tls_ca=/etc/ca.pem&tls_cert=c.pem&tls_key=k%20.pem").unwrap();
        let tls = options.tls.unwrap();
        assert_eq!(tls.ca, Some("/etc/ca.pem".into()));
        assert_eq!((tls.cert, tls.key), (Some("c.pem".into()), Some("k .pem".into())));
        assert_eq!(Options::parse("redis://h").unwrap().tls, None);
    }

    #[test]
    fn sentinels_name_their_master_and_clusters_their_nodes() {
        let options = Options::parse("redis+sentinel://a,b:1/main/2").unwrap();
        assert_eq!(options.topology, Topology::Sentinel("main".into()));
        assert_eq!(options.hosts, [("a".to_owned(), 26379), ("b".to_owned(), 1)]);
        assert_eq!(options.db, 2);
        let options = Options::parse("redis+cluster://[::1]:7001,b").unwrap();
        assert_eq!(options.hosts, [("::1".to_owned(), 7001), ("b".to_owned(), 6379)]);
    }

    #[test]
    fn what_is_said_of_a_url_holds_no_password() {
        for (url, says) in [
            ("redis://localhost:6379/2?namespace=a", "redis://localhost:6379/2?namespace=a"),
            ("rediss://worker:secret@h:1/2?partitions=3", "rediss://h:1/2?partitions=3"),
            ("redis://:secret@h", "redis://h"),
            ("redis://secret@h", "redis://h"),
            ("redis://worker:sec@ret@h/1", "redis://h/1"),
            ("redis://worker:sec/ret@h/1", "redis://h/1"),
            ("redis://worker:sec?ret@h/1", "redis://…"),
            ("redis+cluster://u:secret@a:1,b:2", "redis+cluster://a:1,b:2"),
            ("redis:worker:secret@h", "redis"),
        ] {
            assert_eq!(shown(url), says);
            match Options::parse(url) {
                Ok(options) => assert_eq!(options.shown, says),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        error.starts_with(&format!("open `{says}`: ")) && !error.contains("sec"),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_url_gets_wrong_is_named() {
        for (url, word) in [
            ("redis:localhost", "`://`"),
            ("reddis://localhost", "`reddis`"),
            ("redis://localhost:port", "`localhost:port`"),
            ("redis://localhost/one", "database"),
            ("redis://localhost/-1", "database"),
            ("redis://localhost/1/2", "`/2`"),
            ("redis+sentinel://localhost/main/1/2", "`/2`"),
            ("redis+cluster://localhost/0/1", "`/1`"),
            ("redis://localhost:0", "`localhost:0`"),
            ("redis://localhost:1:2", "`localhost:1:2`"),
            ("redis://:6379", "`:6379`"),
            ("redis://[::1]6379", "`[::1]6379`"),
            ("redis://a,,b", "`an empty host`"),
            ("redis://localhost?namespace=a&namespace=b", "`namespace` stands twice"),
            ("redis://localhost?tls_ca", "`rediss://`"),
            ("rediss://localhost?tls_ca", "names a file"),
            ("redis://localhost?allow_volatile", "`false`"),
            ("redis://localhost?allow_volatile=yes", "`false`"),
            ("redis://localhost?partition=3", "unknown option `partition`"),
            ("redis://localhost?partitions=0", "from 1 to 256"),
            ("redis://localhost?durability=full", "`relaxed`"),
            ("redis://localhost?namespace=a%20b", "namespace"),
            ("redis://localhost?tls_ca=/ca.pem", "`rediss://`"),
            ("rediss://localhost?tls_cert=/cert.pem", "`tls_key`"),
            ("redis+sentinel://localhost", "master"),
            ("redis+cluster://localhost/1", "databases"),
        ] {
            let error = Options::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}
