//! What an error of the server or the connection means for a caller.

use std::error::Error;
use std::sync::Arc;

use nq_core::store::{ErrorKind, StoreError};
use redis::{RedisError, ServerErrorKind};
use rustls::CertificateError;

/// Answers by which a server says that it cannot do this now, though it may soon: it loads its data, lost its
/// role or its memory, or runs a long function.
const NOT_NOW: [&str; 14] = [
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
    "UNBLOCKED",
    "IOERR",
    "INPROG",
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
            let why = match code {
                "OOM" => "Redis is full (`maxmemory`): it goes on when the retention of finished runs, or a larger `maxmemory`, has made room".to_owned(),
                code => format!("Redis cannot do it now ({code})"),
            };
            (ErrorKind::Unavailable, why)
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension if turned_away(&error) => {
            let why = error.detail().unwrap_or_default();
            (ErrorKind::Unavailable, format!("Redis cannot do it now: {why}"))
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension if denied_within(&error) => {
            let what = error.detail().unwrap_or_default();
            (ErrorKind::Config, format!("the user of the URL may not do all that nq does: {what}"))
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension if misplaced(&error).is_some() => {
            (ErrorKind::Config, misplaced(&error).unwrap_or_default().to_owned())
        }
        _ if matches!(code, "NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Config, "Redis asks for a user and password, or refuses those of the URL".to_owned())
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
            (ErrorKind::Corrupt, format!("Redis refused it: {}", error.detail().unwrap_or(code)))
        }
        // Nothing was read whole: the connection ended within a reply, or what speaks there is no Redis. That
        // says nothing of what is stored.
        redis::ErrorKind::Parse => {
            (ErrorKind::Unavailable, "the reply of Redis broke off, or is none of Redis".to_owned())
        }
        redis::ErrorKind::UnexpectedReturnType => {
            (ErrorKind::Corrupt, "Redis answered in a form that is not known".to_owned())
        }
        _ if tls.is_some() => (ErrorKind::Config, tls.unwrap_or_default()),
        _ if error.is_timeout() => (ErrorKind::Unavailable, "Redis did not answer in time".to_owned()),
        _ => (ErrorKind::Unavailable, "Redis cannot be reached".to_owned()),
    };
    StoreError::new(kind, op, message).with_source(error)
}

/// Whether the server says without a code of its own that it cannot do this now: it has too many clients, somebody
/// stopped the function, or makes it forget the functions as fast as it is told them.
fn turned_away(error: &RedisError) -> bool {
    let signs = [
        "max number of clients reached",
        "Script killed by user",
        "Function killed by user",
        "Function not found",
    ];
    error.detail().is_some_and(|detail| signs.iter().any(|sign| detail.contains(sign)))
}

/// What is wrong with the URL, if the server is not what the URL says, or does not have what it names.
fn misplaced(error: &RedisError) -> Option<&'static str> {
    let signs = [
        ("DB index is out of range", "the server has no database of the number that the URL names"),
        (
            "cluster support disabled",
            "the server is no node of a cluster: write `redis://` without `+cluster`",
        ),
        ("unknown command 'SENTINEL'", "the server is no sentinel: write `redis://` without `+sentinel`"),
    ];
    let detail = error.detail()?;
    signs.iter().find(|(sign, _)| detail.contains(sign)).map(|(_, what)| *what)
}

/// Whether the server refused the call because its memory is full.
pub(super) fn is_full(error: &StoreError) -> bool {
    error.cause::<RedisError>().is_some_and(|error| error.code() == Some("OOM"))
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
    elsewhere || is_broken(error) || error.is_io_error()
}

/// Whether the connection itself ended under the call: another one may bring the answer at once.
fn is_broken(error: &RedisError) -> bool {
    // Behind a reply that broke off no other can be found.
    error.kind() == redis::ErrorKind::Parse || error.is_connection_dropped()
}

/// Whether a connection came about and ended at once.
pub(super) fn broke_off(error: &RedisError) -> bool {
    is_broken(error) && !error.is_connection_refusal()
}

/// Whether a call that changes nothing is made again at once, on another connection: this one ended, or leads to a
/// server that is not the one to ask any more. One that was silent is not asked twice.
pub(super) fn is_worth_another(error: &RedisError) -> bool {
    let moved = matches!(error.code().unwrap_or_default(), "MOVED" | "READONLY");
    !error.is_timeout() && (moved || is_broken(error) || error.is_io_error())
}

/// The error of an answer that does not have the form that its function gives it.
pub(super) fn garbled(op: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, op, "Redis answered in a form that no function of nq gives")
}
