//! `#[event]`: the same as `#[data]`, and the definition of an event.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::data::{Data, expand_with};
use crate::errors::Errors;
use crate::fields;
use crate::glue::generated_at;
use crate::keys;
use crate::names::plain;

/// Expands `#[event(…)]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_with("event", attr, item, |event, errors| {
        let owns = owns(event, errors);
        (event.derives(), if owns { definition(event) } else { TokenStream::new() })
    })
}

/// An event is read again later, often by another process: it cannot borrow.
fn owns(event: &Data<'_>, errors: &mut Errors) -> bool {
    let Some(borrowed) = event.generics.lifetimes().next() else { return true };
    let (name, lifetime) = (plain(event.ident), &borrowed.lifetime);
    errors.at(
        lifetime,
        format!(
            "event `{name}` borrows for `{lifetime}`, but an event is stored and read again later\nhelp: own what it holds: `String` instead of `&{lifetime} str`, `Vec<T>` instead of `&{lifetime} [T]`"
        ),
    );
    false
}

fn definition(event: &Data<'_>) -> TokenStream {
    let (ident, private) = (event.ident, &event.private);
    let mut generics = event.named_generics();
    let (mut name, mut path) = event.name_and_path();
    let (bindings, key, type_key);
    if event.is_generic() {
        let bounds: syn::WherePredicate = syn::parse_quote! {
            Self: #private::serde::Serialize + #private::serde::de::DeserializeOwned + #private::schemars::JsonSchema
                + ::core::marker::Send + ::core::marker::Sync + 'static
        };
        generics.make_where_clause().predicates.push(bounds);
        bindings = quote!(let (name, path) = (#name, #path););
        (name, path) = (quote!(name), quote!(path));
        key = quote!(#private::keys::of(#private::keys::EVENT, name));
        type_key = quote!(#private::keys::of(#private::keys::PATH, path));
    } else {
        // The keys are computed here, since constant evaluation is slow.
        bindings = TokenStream::new();
        let (name, shown) = (keys::of(keys::EVENT, &event.name), keys::of(keys::PATH, &plain(ident)));
        key = quote!(#name);
        type_key = quote!(#private::keys::within(::core::module_path!(), #shown));
    }
    let fields = if let Some(names) = fields::names(event.item) {
        let names = names.iter().map(fields::Name::listed);
        quote!(::core::option::Option::Some(&[#(#names),*]))
    } else {
        quote!(::core::option::Option::None)
    };
    let (impl_generics, type_generics, clause) = generics.split_for_impl();
    quote_spanned! {generated_at(ident.span())=>
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #private::Event for #ident #type_generics #clause {
            const DEF: #private::EventDef = {
                #bindings
                #private::EventDef {
                    name: #name,
                    key: #key,
                    type_path: #path,
                    type_key: #type_key,
                    fields: #fields,
                    schema: #private::schema::<Self>,
                    read: #private::read::<Self>,
                }
            };
        }
    }
}
