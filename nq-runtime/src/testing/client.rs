//! The client that a test hands to a handler.

use std::sync::Arc;

use crate::client::Client;
use crate::open::Builder;
use crate::store::memory::MemoryStore;

impl Client {
    /// A client of an empty store in memory that knows the workers of the program, for tests: what is started there is
    /// kept, and nothing runs it.
    ///
    /// # Panics
    ///
    /// If the workers of the program do not fit together, for which it would not start either.
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
