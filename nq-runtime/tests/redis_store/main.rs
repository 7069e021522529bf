//! The Redis store where it is more than the contract: what it asks of a server, what it survives, how much it
//! takes. Needs `redis-server`; each test runs its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod apart;
mod away;
mod faults;
mod flow;
mod forks;
mod formats;
mod full;
mod groups;
mod lost;
mod open;
#[path = "../support/proxy.rs"]
mod proxy;
mod repair;
mod scale;
mod secure;
mod sentinel;
#[path = "../support/redis.rs"]
mod server;
mod torn;
mod waiting;
