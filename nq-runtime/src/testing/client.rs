//! The client that a test hands to a handler.

use std::sync::Arc;

use crate::client::Client;
use crate::open::Builder;
use crate::store::memory::MemoryStore;

impl Client {
    /// A client for tests, with the workers of the program and an empty store in memory. Runs that are started there are
    /// kept, and nothing runs their steps.
    ///
    /// # Panics
    ///
    /// If the workers of the program do not fit together, so that the program would not start either.
    ///
    /// ```
    /// # async fn example() -> nq::Result<()> {
    /// let client = nq::Client::for_test();
    /// // Call the worker with `client.clone()`, then look at what it has started.
    /// assert!(client.runs().all().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_test() -> Self {
        let store = Arc::new(MemoryStore::new());
        let client = Builder::new(store).client();
        client.unwrap_or_else(|error| panic!("the workers of the program do not fit together: {error}"))
    }
}
