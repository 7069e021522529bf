//! The thread of a store, where connections live that outlast a call.

use nq_core::store::{ErrorKind, StoreError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread where connections live that outlast a call. Ends when dropped.
pub(super) struct Home {
    pub(super) handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Home {
    pub(super) fn new() -> Result<Self, StoreError> {
        let cannot = |error: std::io::Error| {
            StoreError::new(ErrorKind::Config, "open", "the thread of the store cannot be started")
                .with_source(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let live = move || {
            // The end of the sender is the sign.
            let _ = runtime.block_on(stopped);
        };
        std::thread::Builder::new().name("nq-redis".into()).spawn(live).map_err(cannot)?;
        Ok(Self { handle, _stop: stop })
    }
}
