//! `#[data]`: the derives that a part of an event needs, and its name as an argument of a generic event. The code that it
//! shares with `#[event]` is here, too.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::{Attribute, Generics, Ident, Item, Meta, Path, Token, parse_quote};

use crate::attr::options;
use crate::errors::Errors;
use crate::fields;
use crate::glue::{generated_at, nq_path};
use crate::names::{dotted, plain, refuse_event_name};

const OPTIONS: &[&str] = &["name", "crate"];

/// A type under `#[event]` or `#[data]`.
pub(crate) struct Data<'a> {
    pub(crate) item: &'a Item,
    pub(crate) attrs: &'a [Attribute],
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    /// Its name in timelines.
    pub(crate) name: String,
    /// The hidden module of nq.
    pub(crate) private: TokenStream,
}

/// Expands `#[data(…)]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_with("data", attr, item, |data, _| {
        let argument = data.argument();
        (data.derives(), argument)
    })
}

/// Expands an attribute of a type. `write` returns the code that goes before and after the type.
pub(crate) fn expand_with(
    attribute: &str,
    attr: TokenStream,
    item: TokenStream,
    write: impl FnOnce(&Data<'_>, &mut Errors) -> (TokenStream, TokenStream),
) -> TokenStream {
    let mut errors = Errors::default();
    let (mut name, mut nq) = (None, None);
    for option in options(attr, OPTIONS, &mut errors) {
        match option.key.as_str() {
            "name" => name = errors.ok(option.name(refuse_event_name)),
            _ => nq = errors.ok(option.path()),
        }
    }
    let parsed = syn::parse2::<Item>(item.clone());
    let (parsed, attrs, ident, generics) = match &parsed {
        Ok(parsed @ Item::Struct(item)) => (parsed, &item.attrs, &item.ident, &item.generics),
        Ok(parsed @ Item::Enum(item)) => (parsed, &item.attrs, &item.ident, &item.generics),
        Ok(_) => {
            errors.at_span(Span::call_site(), format!("`#[nq::{attribute}]` goes on a struct or an enum"));
            return quote!(#errors #item);
        }
        // rustc reports better than this what does not parse.
        Err(_) => return quote!(#errors #item),
    };
    let nq = nq_path(nq.as_ref());
    let name = name.map_or_else(|| dotted(&plain(ident)), |name| name.value());
    let data = Data { item: parsed, attrs, ident, generics, name, private: quote!(#nq::__private) };
    let (before, after) = write(&data, &mut errors);
    let parts = data.parts();
    quote!(#errors #parts #before #item #after)
}

impl Data<'_> {
    /// The derives that the type does not have yet.
    pub(crate) fn derives(&self) -> TokenStream {
        let (attrs, private) = (self.attrs, &self.private);
        let present = derived(attrs);
        let has = |name: &str| {
            present.iter().any(|path| path.segments.last().is_some_and(|last| last.ident == name))
        };
        let mut tokens = TokenStream::new();
        let mut serde = Vec::new();
        for name in ["Serialize", "Deserialize"] {
            if !has(name) {
                serde.push(format_ident!("{name}"));
            }
        }
        let inner = quote!(#private).to_string().replace(' ', "");
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

    /// Checks that the type of each field can be a part of an event. It comes before the derives, whose errors would be
    /// harder to read.
    fn parts(&self) -> TokenStream {
        let private = &self.private;
        let checks = fields::parts(self.item).into_iter().map(|ty| {
            let at = syn::spanned::Spanned::span(&ty);
            quote_spanned!(at=> #private::is_part::<#ty>();)
        });
        let checks: Vec<_> = checks.collect();
        if checks.is_empty() {
            return TokenStream::new();
        }
        let cfgs = self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote_spanned!(generated_at(self.ident.span())=> #(#cfgs)* const _: () = { #(#checks)* };)
    }

    /// The arguments of a generic type, as parts of its name or of its path.
    fn arguments(&self, what: &str) -> Vec<TokenStream> {
        let (private, what) = (&self.private, format_ident!("{what}"));
        let parts = self.generics.params.iter().filter_map(|parameter| match parameter {
            syn::GenericParam::Type(ty) => {
                let ty = &ty.ident;
                Some(quote!(#private::generic::Part::Text(<#ty as #private::generic::Argument>::#what)))
            }
            syn::GenericParam::Const(constant) => {
                let constant = &constant.ident;
                Some(quote!(#private::generic::Part::Number(#constant as i128)))
            }
            syn::GenericParam::Lifetime(_) => None,
        });
        parts.collect()
    }

    /// Whether the type has generic parameters.
    pub(crate) fn is_generic(&self) -> bool {
        self.generics.type_params().next().is_some() || self.generics.const_params().next().is_some()
    }

    /// Its name and its path, as expressions of constants.
    pub(crate) fn name_and_path(&self) -> (TokenStream, TokenStream) {
        let (name, private, shown) = (&self.name, &self.private, plain(self.ident));
        if !self.is_generic() {
            return (quote!(#name), quote!(::core::concat!(::core::module_path!(), "::", #shown)));
        }
        let (names, paths) = (self.arguments("NAME"), self.arguments("PATH"));
        let name = format!("{name}<");
        let name = quote! {
            const { &#private::generic::Composed::<{ #private::generic::LONGEST_NAME }>::new(#name, &[#(#names),*], ",", ">") }
                .as_str()
        };
        let path = quote!(::core::concat!(::core::module_path!(), "::", #shown, "<"));
        let path = quote! {
            const { &#private::generic::Composed::<{ #private::generic::LONGEST_PATH }>::new(#path, &[#(#paths),*], ",", ">") }
                .as_str()
        };
        (name, path)
    }

    /// The generics of an implementation, whose arguments have names.
    pub(crate) fn named_generics(&self) -> Generics {
        let (mut generics, private) = (self.generics.clone(), &self.private);
        for parameter in self.generics.type_params() {
            let ident = &parameter.ident;
            let bound: syn::WherePredicate = parse_quote!(#ident: #private::generic::Argument);
            generics.make_where_clause().predicates.push(bound);
        }
        generics
    }

    /// The name of the type inside of the name of a generic event.
    fn argument(&self) -> TokenStream {
        let (ident, private) = (self.ident, &self.private);
        let (generics, (name, path)) = (self.named_generics(), self.name_and_path());
        let (impl_generics, type_generics, clause) = generics.split_for_impl();
        quote_spanned! {generated_at(ident.span())=>
            #[automatically_derived]
            #[allow(deprecated)]
            impl #impl_generics #private::generic::Argument for #ident #type_generics #clause {
                const NAME: &'static str = #name;
                const PATH: &'static str = #path;
            }
        }
    }
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
