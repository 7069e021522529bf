//! Who may speak with the server, and over what: users and their rights, TLS, and what is said when it fails.

use std::path::{Path, PathBuf};

use nq_core::store::{ErrorKind, Store, StoreError};
use nq_runtime::store::redis::RedisStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use super::flow::{Peer, WHOLE, kinds, open, run_id, start};
use super::server::{EVERY_SECOND, RedisServer, free_port};

/// What a URL that is refused is told.
async fn refused(url: &str) -> String {
    let error: StoreError = RedisStore::open(url).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

/// Runs the flow from end to end.
async fn works(url: &str) {
    let store = open(url).await;
    let run = run_id("r");
    store.start(&start("r", json!(1))).await.unwrap();
    let mut one = Peer::new("one");
    one.work(&store, std::slice::from_ref(&run)).await;
    store.leave(&one.id).await.unwrap();
    assert_eq!(kinds(&store, &run).await, WHOLE);
}

/// A server with a user `worker`, whose password is `secret`, of these rights.
fn with_user(rights: &str) -> RedisServer {
    let server = RedisServer::start(EVERY_SECOND);
    let user = format!("ACL SETUSER worker on >secret {rights}");
    assert_eq!(server.command(&user.split(' ').collect::<Vec<_>>()), "OK");
    server
}

fn login(server: &RedisServer, login: &str) -> String {
    format!("redis://{login}@127.0.0.1:{}/", server.port())
}

#[tokio::test]
async fn a_user_needs_its_password_and_neither_is_shown() {
    let server = with_user("~nq:* +@all -@dangerous -@admin +info");
    works(&login(&server, "worker:secret")).await;
    for wrong in ["worker:guessed", "nobody:guessed"] {
        let error = refused(&login(&server, wrong)).await;
        assert!(error.contains("refuses the user or password"), "{error}");
        assert!(!error.contains("guessed"), "a password is not to be shown: {error}");
    }
    server.command(&["CONFIG", "SET", "requirepass", "default"]);
    let error = refused(&server.url("")).await;
    assert!(error.contains("asks for a user and password"), "{error}");
    works(&login(&server, ":default")).await;
}

#[tokio::test]
async fn a_user_without_the_rights_is_told_which_it_lacks() {
    for (rights, lacks) in [
        ("~nq:* +@all -@scripting", "'fcall'"),
        ("~nq:* +@all -function|load", "'function|load'"),
        ("~other:* +@all", "keys"),
        ("~nq:* +@all -info", "'info'"),
        ("~nq:* +@all -xadd", "run this command"),
    ] {
        let server = with_user(rights);
        let url = login(&server, "worker:secret");
        let error = match RedisStore::open(&url).await {
            Err(error) => error,
            Ok(store) => store.start(&start("r", json!(1))).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Config, "{rights}: {error}");
        let said = error.to_string();
        assert!(said.contains("the user of the URL may not do") && said.contains(lacks), "{rights}: {said}");
    }
}

/// A certificate authority, and a server that has its certificate by it.
struct Secure {
    _server: RedisServer,
    folder: TempDir,
    port: u16,
}

impl Secure {
    fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority("ours");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), authority.pem()).unwrap();
        std::fs::write(path("other.pem"), self::authority("another").pem()).unwrap();
        issue(&authority, folder.path(), "server");
        issue(&authority, folder.path(), "client");
        let port = free_port();
        let text = |name: &str| path(name).display().to_string();
        let (tls_port, cert, key, ca) =
            (port.to_string(), text("server.pem"), text("server.key"), text("ca.pem"));
        let tls = [
            "--tls-port",
            &tls_port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
        ];
        let server = RedisServer::start(&[EVERY_SECOND, &tls, settings].concat());
        Self { _server: server, folder, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URL of it, which trusts the authority in this file.
    fn url(&self, ca: &str) -> String {
        format!("rediss://127.0.0.1:{}/?tls_ca={}", self.port, self.path(ca).display())
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for 127.0.0.1, and its key.
fn issue(authority: &CertifiedIssuer<'static, KeyPair>, folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn tls_trusts_whom_the_url_names_and_nobody_else() {
    let secure = Secure::start(&["--tls-auth-clients", "no"]);
    works(&secure.url("ca.pem")).await;
    let error = refused(&secure.url("other.pem")).await;
    assert!(error.contains("by nobody who is trusted"), "{error}");
    let error = refused(&format!("rediss://127.0.0.1:{}/", secure.port)).await;
    assert!(error.contains("`tls_ca=FILE`"), "who is trusted by the system did not issue it: {error}");
    let error = refused(&secure.url("missing.pem")).await;
    assert!(error.contains("missing.pem"), "{error}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_that_of_the_url() {
    let secure = Secure::start(&["--tls-auth-clients", "yes"]);
    let error = refused(&secure.url("ca.pem")).await;
    assert!(error.contains("`tls_cert=FILE&tls_key=FILE`"), "{error}");
    let (cert, key) = (secure.path("client.pem"), secure.path("client.key"));
    works(&format!("{}&tls_cert={}&tls_key={}", secure.url("ca.pem"), cert.display(), key.display())).await;
}
