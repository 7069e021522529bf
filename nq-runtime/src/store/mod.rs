//! The stores: one folder each, with the same file names, so that knowing one is knowing all.

mod clock;
pub mod hints;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite-system")]
pub mod sqlite;

use std::sync::Arc;

pub use nq_core::record::{JobState, StateKind};
pub use nq_core::store::*;

/// Opens the store that a URL names.
///
/// ```
/// # async fn example() -> nq::Result<()> {
/// let store = nq::store::open("memory:").await?;
/// let nq = nq::Builder::new(store).start().await?;
/// # Ok(())
/// # }
/// ```
#[cfg_attr(
    not(any(feature = "redis", feature = "sqlite-system")),
    expect(clippy::unused_async, reason = "a store that is a feature waits while it is opened")
)]
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("memory", "" | "//")) => Ok(Arc::new(memory::MemoryStore::new())),
        Some(("memory", _)) => {
            Err(refused("nothing follows `memory:`; each opening is a store of its own").with_key(url))
        }
        #[cfg(feature = "redis")]
        Some((scheme, _)) if scheme.starts_with("redis") => Ok(Arc::new(redis::RedisStore::open(url).await?)),
        #[cfg(feature = "sqlite-system")]
        Some(("sqlite", _)) => {
            Ok(Arc::new(sqlite::SqliteStore::open(sqlite::SqliteOptions::parse(url)?).await?))
        }
        #[cfg(not(feature = "redis"))]
        Some((scheme, _)) if scheme.starts_with("redis") => {
            Err(refused("Redis needs the feature `redis` of nq"))
        }
        #[cfg(not(feature = "sqlite-system"))]
        Some(("sqlite", _)) => Err(refused("SQLite needs the feature `sqlite` of nq").with_key(url)),
        _ => {
            let message =
                "a store's URL begins with `memory:`, `sqlite:` or `redis://`, as in `sqlite:orders.db`";
            // What follows the scheme of a server may hold a password.
            Err(refused(message).with_key(url.split_once("://").map_or(url, |(scheme, _)| scheme)))
        }
    }
}

/// A URL by which nothing can be opened.
fn refused(message: &str) -> StoreError {
    StoreError::new(ErrorKind::Config, "open", message)
}
