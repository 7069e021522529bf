//! A library in edition 2021 that calls nq by another name, and includes the other library, too.

pub mod steps {
    use jobs::prelude::*;

    #[jobs::event]
    pub struct Counted {
        pub items: u32,
    }

    #[jobs::event(name = "wrapped.text")]
    pub struct Wrapped<T> {
        pub inner: T,
    }

    #[jobs::worker(flow = "stock", emits = [Wrapped<String>, "stock.raw"])]
    pub async fn count(_counted: Counted, ctx: Ctx<count>) -> jobs::Result<()> {
        ctx.emit(Wrapped { inner: String::new() })?;
        Ok(())
    }

    #[jobs::worker(flows = ["stock"], subscribes = [Wrapped<String>, "stock.raw"])]
    pub async fn keep(_kept: Kept) {}

    pub struct Kept;

    impl From<Wrapped<String>> for Kept {
        fn from(_: Wrapped<String>) -> Self {
            Kept
        }
    }

    impl From<jobs::Json> for Kept {
        fn from(_: jobs::Json) -> Self {
            Kept
        }
    }
}

jobs::registry!(library, include = [shipping]);
