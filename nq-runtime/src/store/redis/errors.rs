//! What an error of the server or the connection means for a caller.

use std::error::Error;
use std::sync::Arc;

use nq_core::store::{ErrorKind, StoreError};
use redis::{RedisError, ServerErrorKind};
use rustls::CertificateError;

/// Answers by which a server says that it cannot do this now, though it may soon: it loads its data, lost its
/// role or its memory, or runs a long function.
const NOT_NOW: [&str; 11] = [
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
];

/// The error that a caller of this verb gets.
pub(super) fn store_error(op: &'static str, error: RedisError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let tls = tls_error(&error);
    let (kind, message) = match error.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            (ErrorKind::Config, "Redis refuses the user or password of the URL".to_owned())
        }
        redis::ErrorKind::InvalidClientConfig => {
            let why = error.detail().map(|why| format!(": {why}")).unwrap_or_default();
            (ErrorKind::Config, format!("the connection cannot be set up as the URL says{why}"))
        }
        redis::ErrorKind::Server(ServerErrorKind::NoPerm) => {
            let what = error.detail().map(|what| format!(": {what}")).unwrap_or_default();
            (ErrorKind::Config, format!("the user of the URL may not do this{what}"))
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension if NOT_NOW.contains(&code) => {
            (ErrorKind::Unavailable, format!("Redis cannot do it now ({code})"))
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension if denied_within(&error) => {
            let what = error.detail().unwrap_or_default();
            (ErrorKind::Config, format!("the user of the URL may not do all that nq does: {what}"))
        }
        _ if matches!(code, "NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Config, "Redis asks for a user and password, or refuses those of the URL".to_owned())
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
            (ErrorKind::Corrupt, format!("Redis refused it: {}", error.detail().unwrap_or(code)))
        }
        redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => {
            (ErrorKind::Corrupt, "Redis answered in a form that is not known".to_owned())
        }
        _ if tls.is_some() => (ErrorKind::Config, tls.unwrap_or_default()),
        _ if error.is_timeout() => (ErrorKind::Unavailable, "Redis did not answer in time".to_owned()),
        _ => (ErrorKind::Unavailable, "Redis cannot be reached".to_owned()),
    };
    StoreError::new(kind, op, message).source(error)
}

/// Whether a function was stopped by what its user may not do. It has no code of its own.
fn denied_within(error: &RedisError) -> bool {
    let denials = ["The user executing the script", "ACL failure in script"];
    error.detail().is_some_and(|detail| denials.iter().any(|denial| detail.starts_with(denial)))
}

/// What is wrong with the TLS of a connection, if that is what is wrong with it.
fn tls_error(error: &RedisError) -> Option<String> {
    // The crate gives its sources in an `Arc`.
    let source: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    let io: &std::io::Error = source.downcast_ref()?;
    let error: &rustls::Error = io.get_ref()?.downcast_ref()?;
    let help = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is by nobody who is trusted; `tls_ca=FILE` in the URL names who is"
        }
        rustls::Error::InvalidCertificate(_) => "the server's certificate is no good",
        rustls::Error::AlertReceived(_) => {
            "the server refuses the client; `tls_cert=FILE&tls_key=FILE` in the URL name a certificate for it"
        }
        _ => "no TLS connection comes about",
    };
    Some(format!("{help} ({error})"))
}

/// Whether the connection that brought this error is of no more use: it is broken, silent, or leads to a
/// server that is not the one to ask any more.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    let elsewhere =
        matches!(code, "MOVED" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "LOADING" | "NOAUTH");
    elsewhere || error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// The error of an answer that does not have the form that its function gives it.
pub(super) fn garbled(op: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, op, "Redis answered in a form that no function of nq gives")
}

/// The error of a run that is not there.
pub(super) fn missing(op: &'static str, run: &nq_core::id::RunId) -> StoreError {
    StoreError::new(ErrorKind::NotFound, op, "there is no such run").key(run)
}
