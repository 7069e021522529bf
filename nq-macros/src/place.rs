//! Finds out whether a function stands in an `impl`, which the attribute cannot see. An `impl` cannot hold the items that
//! `#[worker]` puts beside the function, and rustc would report each of those items instead of the one mistake.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use crate::ast::Function;

/// The block around an attribute, if it cannot hold a worker: `` an `impl` `` or `` a `trait` ``.
pub(crate) fn surrounding(attribute: Span) -> Option<&'static str> {
    let span = attribute.unwrap();
    // Hardly any worker is indented, so hardly any file is read.
    if span.column() < 2 {
        return None;
    }
    let text = std::fs::read_to_string(span.local_file()?).ok()?;
    block_above(&text, span.line())
}

/// The block around a line, found by the nearest line above that is indented less. None if that line does not open an
/// `impl` or a `trait`; then rustc reports its own errors.
fn block_above(text: &str, line: usize) -> Option<&'static str> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let (last, above) = lines.split_last()?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut above = above.iter().rev().filter(|line| !line.trim().is_empty());
    let opening = above.find(|line| indent(line) < indent(last))?;
    let mut words = opening.trim();
    if !words.ends_with('{') {
        return None;
    }
    if words == "{" {
        // The end of a header of several lines.
        words = above.find(|line| indent(line) <= indent(opening) && line.trim() != "where")?.trim();
    }
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "default ", "unsafe "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    let begins = |word: &str| words.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '<']));
    if begins("impl") {
        Some("an `impl`")
    } else if begins("trait") {
        Some("a `trait`")
    } else {
        None
    }
}

/// The function with parameters of any type and without its body, so that calls of it still compile, and code that names
/// the worker's type makes no further error.
pub(crate) fn stub(function: &Function) -> TokenStream {
    let (ident, vis, output) = (&function.sig.ident, &function.vis, &function.sig.output);
    let receiver = function.sig.receiver().map(|receiver| quote!(#receiver,));
    let types: Vec<Ident> = (0..function.parameters().len()).map(|at| format_ident!("A{at}")).collect();
    let own = &function.sig.generics.params;
    let own = (!own.is_empty()).then(|| quote!(#own,));
    quote! {
        #[allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
        #vis async fn #ident<#own #(#types),*>(#receiver #(_: #types),*) #output {
            loop {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::block_above;

    #[test]
    fn the_block_around_a_line_is_found() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(block_above(text, text.lines().count()), expected, "{text}");
        };
        check("impl Shop {\n    #[nq::worker]\n    async fn charge() {}", Some("an `impl`"));
        check(
            "impl<T> Shop<T>\nwhere\n    T: Sync,\n{\n    fn a() {\n        b();\n    }\n\n    async fn charge() {}",
            Some("an `impl`"),
        );
        check(
            "mod a {\n    pub unsafe trait Shop: Send {\n        // Charges.\n        async fn charge() {}",
            Some("a `trait`"),
        );
        check("mod shop {\n    async fn charge() {}", None);
        check("impl Shop {}\n\nmod shop {\n    impl A {\n    }\n\n    async fn charge() {}", None);
        check("impl Shop {\n}\n    async fn charge() {}", None);
        check("fn main() {\n    async fn charge() {}", None);
        check("macro_rules! implement {\n    async fn charge() {}", None);
        check("    async fn charge() {}", None);
        check("async fn charge() {}", None);
    }
}
