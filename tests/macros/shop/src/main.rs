//! A program in many files: every kind of module, conditions, raw identifiers, and libraries.

#[cfg(feature = "gifts")]
mod gifts;
mod r#match;
mod orders;
#[path = "elsewhere/far.rs"]
mod paths;
#[cfg_attr(all(), path = "conditional.rs")]
mod under_a_condition;

mod inline {
    pub mod deeper {
        mod file;
    }

    #[nq::worker(flow = "inline")]
    async fn here(_placed: crate::orders::OrderPlaced) {}
}

macro_rules! entry {
    ($name:ident) => {
        #[nq::worker(flow = "made")]
        pub(crate) async fn $name(_placed: crate::orders::OrderPlaced) {}
    };
}

mod made {
    entry!(by_a_macro);
}

nq::registry!(include = [shipping, store], also = [made::by_a_macro]);

fn main() {}
