//! What the tests of stores share.

#[cfg(feature = "redis")]
pub(crate) mod redis;
