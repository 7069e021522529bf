//! A file by `#[path]`, with a child beside it.

mod near;
