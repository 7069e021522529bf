//! `#[event]`: the derives that a payload needs, and its definition.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Item, Meta, Path, Token, punctuated::Punctuated};

use crate::attr::options;
use crate::errors::Errors;
use crate::glue::{generated_at, nq_path};
use crate::keys;
use crate::names::{dotted, plain, refuse_event_name};

const OPTIONS: &[&str] = &["name", "crate"];

/// Expands `#[event(…)]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let (mut name, mut nq) = (None, None);
    for option in options(attr, OPTIONS, &mut errors) {
        match option.key.as_str() {
            "name" => name = errors.take(option.name(refuse_event_name)),
            _ => nq = errors.take(option.path()),
        }
    }
    let parsed = syn::parse2::<Item>(item.clone());
    let (attrs, ident, generics) = match &parsed {
        Ok(Item::Struct(item)) => (&item.attrs, &item.ident, &item.generics),
        Ok(Item::Enum(item)) => (&item.attrs, &item.ident, &item.generics),
        Ok(_) => {
            errors.at_span(Span::call_site(), "`#[nq::event]` goes on a struct or an enum");
            return quote!(#errors #item);
        }
        // What does not parse, rustc reports better.
        Err(_) => return quote!(#errors #item),
    };
    if name.is_none() && generics.type_params().next().is_some() {
        let shown = plain(ident);
        errors.at(
            ident,
            format!("event `{shown}` is generic, so its name cannot come from its type\nhelp: write `#[nq::event(name = \"…\")]`"),
        );
    }
    let nq = nq_path(nq.as_ref());
    let private = quote!(#nq::__private);
    let derives = derives(attrs, &nq, &private);
    let name = name.map_or_else(|| dotted(&plain(ident)), |name| name.value());
    let definition = definition(ident, generics, &name, &private);
    quote!(#errors #derives #item #definition)
}

/// The derives that the type does not have yet.
fn derives(attrs: &[Attribute], nq: &TokenStream, private: &TokenStream) -> TokenStream {
    let present = derived(attrs);
    let has =
        |name: &str| present.iter().any(|path| path.segments.last().is_some_and(|last| last.ident == name));
    let mut tokens = TokenStream::new();
    let mut serde = Vec::new();
    for name in ["Serialize", "Deserialize"] {
        if !has(name) {
            serde.push(format_ident!("{name}"));
        }
    }
    let inner = quote!(#private).to_string().replace(' ', "");
    let _ = nq;
    if !serde.is_empty() {
        tokens.extend(quote!(#[derive(#(#private::serde::#serde),*)]));
        if !names_crate(attrs, "serde") {
            let path = format!("{inner}::serde");
            tokens.extend(quote!(#[serde(crate = #path)]));
        }
    }
    if !has("JsonSchema") {
        tokens.extend(quote!(#[derive(#private::schemars::JsonSchema)]));
        if !names_crate(attrs, "schemars") {
            let path = format!("{inner}::schemars");
            tokens.extend(quote!(#[schemars(crate = #path)]));
        }
    }
    tokens
}

/// What the type derives.
fn derived(attrs: &[Attribute]) -> Vec<Path> {
    let derives = attrs.iter().filter(|attr| attr.path().is_ident("derive"));
    let paths =
        derives.filter_map(|attr| attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).ok());
    paths.flatten().collect()
}

/// Whether the type says where its derives find their crate.
fn names_crate(attrs: &[Attribute], derive: &str) -> bool {
    let attrs = attrs.iter().filter(|attr| attr.path().is_ident(derive));
    let metas =
        attrs.filter_map(|attr| attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok());
    metas.flatten().any(|meta| meta.path().is_ident("crate"))
}

fn definition(ident: &Ident, generics: &syn::Generics, name: &str, private: &TokenStream) -> TokenStream {
    let (impl_generics, type_generics, _) = generics.split_for_impl();
    let mut generics = generics.clone();
    let bounded = generics.type_params().next().is_some();
    if bounded {
        let clause = generics.make_where_clause();
        let bounds: syn::WherePredicate = syn::parse_quote! {
            Self: #private::serde::Serialize + #private::serde::de::DeserializeOwned + #private::schemars::JsonSchema
                + ::core::marker::Send + ::core::marker::Sync + 'static
        };
        clause.predicates.push(bounds);
    }
    let clause = &generics.where_clause;
    let shown = plain(ident);
    let (key, type_key) = (keys::of(keys::EVENT, name), keys::of(keys::PATH, &shown));
    quote_spanned! {generated_at(ident.span())=>
        #[automatically_derived]
        impl #impl_generics #private::Event for #ident #type_generics #clause {
            const DEF: #private::EventDef = #private::EventDef {
                name: #name,
                key: #key,
                type_path: ::core::concat!(::core::module_path!(), "::", #shown),
                type_key: #private::keys::within(::core::module_path!(), #type_key),
                schema: #private::schema::<Self>,
            };
        }
    }
}
