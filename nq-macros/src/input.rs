//! `#[input]`: an enum of events, made from each of them.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Fields, ItemEnum};

use crate::errors::Errors;

/// Expands `#[input]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    if !attr.is_empty() {
        errors.at(attr, "`#[nq::input]` has no options");
    }
    let Ok(parsed) = syn::parse2::<ItemEnum>(item.clone()) else {
        errors.at_span(Span::call_site(), "`#[nq::input]` goes on an enum with one event in each variant");
        return quote!(#errors #item);
    };
    let (ident, (impl_generics, type_generics, clause)) = (&parsed.ident, parsed.generics.split_for_impl());
    let mut impls = TokenStream::new();
    for variant in &parsed.variants {
        let name = &variant.ident;
        match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                let event = &fields.unnamed[0].ty;
                let attrs = variant.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
                impls.extend(quote_spanned! {name.span()=>
                    #(#attrs)*
                    #[automatically_derived]
                    impl #impl_generics ::core::convert::From<#event> for #ident #type_generics #clause {
                        fn from(event: #event) -> Self {
                            Self::#name(event)
                        }
                    }
                });
            }
            _ => errors.at(
                variant,
                format!("variant `{name}` is not made from one event\nhelp: write `{name}(EventType)`"),
            ),
        }
    }
    quote!(#errors #item #impls)
}
