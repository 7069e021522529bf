//! What the suite cannot ask of every store.
