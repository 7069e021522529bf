//! The mistakes found in one expansion: all of them are reported, each once.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Mistakes in the order found.
#[derive(Default)]
pub(crate) struct Errors {
    list: Vec<syn::Error>,
    /// Whether one of them leaves open how the worker is wired.
    pub(crate) wiring: bool,
}

impl Errors {
    /// Reports a mistake at these tokens. The text is what is wrong; `help:` and `note:` lines may follow.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.list.push(syn::Error::new_spanned(tokens, message));
    }

    /// Reports a mistake at a place that may have no tokens.
    pub(crate) fn at_span(&mut self, span: Span, message: impl std::fmt::Display) {
        self.list.push(syn::Error::new(span, message));
    }

    /// Reports the error of a parser.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.list.push(error);
    }

    /// The value of a result. An error is reported, and there is no value.
    pub(crate) fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// How many were found so far.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }
}

impl ToTokens for Errors {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.list.iter().map(syn::Error::to_compile_error));
    }
}
