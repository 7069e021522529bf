//! The macros of nq: `#[event]`, `#[data]`, `#[input]`, `#[worker]` and `registry!`. Their documentation is in the crate
//! `nq`, which re-exports them.
//!
//! Nothing is written to disk and no state is kept between expansions: the same source always expands the
//! same.

mod ast;
mod attr;
mod attrs;
mod check;
mod data;
mod duration;
mod errors;
mod event;
mod expand;
mod fields;
mod glue;
mod handler;
mod input;
mod keys;
mod names;
mod place;
mod registry;
mod scan;
mod skim;
mod uses;

use proc_macro::TokenStream;

/// Makes a type an event: see `nq::event`.
#[proc_macro_attribute]
pub fn event(attr: TokenStream, item: TokenStream) -> TokenStream {
    event::expand(attr.into(), item.into()).into()
}

/// Makes a type a part of events: see `nq::data`.
#[proc_macro_attribute]
pub fn data(attr: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(attr.into(), item.into()).into()
}

/// Makes an enum the input of a worker that waits for several events: see `nq::input`.
#[proc_macro_attribute]
pub fn input(attr: TokenStream, item: TokenStream) -> TokenStream {
    input::expand(attr.into(), item.into()).into()
}

/// Makes an `async fn` a worker: see `nq::worker`.
#[proc_macro_attribute]
pub fn worker(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(attr.into(), item.into()).into()
}

/// Proves the wiring of all workers of a crate: see `nq::registry`.
#[proc_macro]
pub fn registry(args: TokenStream) -> TokenStream {
    registry::expand(args.into()).into()
}
