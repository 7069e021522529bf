//! Helpers of all expansions: the path of nq, and spans.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};

/// How the crate that is being compiled calls nq.
pub(crate) fn nq_name() -> String {
    match crate_name("nq") {
        Ok(FoundCrate::Name(name)) => name,
        // In nq's own examples and tests, and where there is no manifest to read.
        Ok(FoundCrate::Itself) | Err(_) => "nq".to_owned(),
    }
}

/// The path of nq: what `crate = …` says, or else its name in the manifest.
pub(crate) fn nq_path(given: Option<&syn::Path>) -> TokenStream {
    given.map_or_else(
        || {
            let name = format_ident!("{}", nq_name(), span = Span::call_site());
            quote!(::#name)
        },
        |path| {
            let path = path.clone();
            quote!(#path)
        },
    )
}

/// The span that errors in generated code point at. Lints still see that the code is generated.
pub(crate) fn generated_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// Gives all tokens this span.
pub(crate) fn respan(tokens: impl ToTokens, span: Span) -> TokenStream {
    let respan_token = |mut token: proc_macro2::TokenTree| {
        if let proc_macro2::TokenTree::Group(group) = &token {
            let mut moved = proc_macro2::Group::new(group.delimiter(), respan(group.stream(), span));
            moved.set_span(span);
            return moved.into();
        }
        token.set_span(span);
        token
    };
    tokens.into_token_stream().into_iter().map(respan_token).collect()
}
