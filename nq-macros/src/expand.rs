//! `#[worker]`: the function as written, and beside it what makes it a worker.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{LitStr, Type};

use crate::ast::{Backoff, EventList, Function, Options};
use crate::attr::EventItem;
use crate::check;
use crate::errors::Errors;
use crate::glue::{generated_at, nq_path, respan};
use crate::names::bucket;

/// Expands `#[worker(…)]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(attr, &mut errors);
    let function = match Function::parse(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            errors.at_span(Span::call_site(), "`#[nq::worker]` goes on an `async fn`");
            return quote!(#errors #item);
        }
    };
    if let Some(receiver) = function.sig.receiver() {
        let name = function.name();
        errors.at(
            receiver,
            format!("worker `{name}` takes `self`, but nobody could give it\nhelp: move it out of the `impl` block; what it needs comes through `Data<T>`"),
        );
        return quote!(#errors #item);
    }
    check::worker(&options, &function, &mut errors);
    let worker = Worker::new(&options, &function, &errors);
    let (marker, items, checks) = (worker.marker(), worker.items(), worker.checks());
    let tokens = &function.tokens;
    let allow = quote_spanned!(worker.at=> #[allow(clippy::unused_async)]);
    quote!(#errors #allow #tokens #marker #items #checks)
}

struct Worker<'a> {
    options: &'a Options,
    function: &'a Function,
    /// The hidden module of nq.
    private: TokenStream,
    /// Where generated code points at: the function's name.
    at: Span,
    /// The type that stands for the worker.
    ty: Ident,
    name: LitStr,
    /// Whether its wiring is in doubt.
    broken: bool,
    /// Whether it can be called at all, apart from its wiring.
    callable: bool,
}

impl<'a> Worker<'a> {
    fn new(options: &'a Options, function: &'a Function, errors: &Errors) -> Self {
        let nq = nq_path(options.nq.as_ref());
        let at = generated_at(function.span());
        let name = options.name.clone().unwrap_or_else(|| LitStr::new(&function.name(), at));
        let ty = options.type_name.clone().unwrap_or_else(|| function.sig.ident.clone());
        let callable = function.sig.asyncness.is_some()
            && function.sig.generics.params.is_empty()
            && matches!(function.sig.safety, syn::Safety::Default)
            && !function.sig.inputs.is_empty()
            && (errors.count() == 0 || !errors.wiring);
        Self {
            options,
            function,
            private: quote!(#nq::__private),
            at,
            ty,
            name,
            broken: errors.wiring,
            callable,
        }
    }

    fn is_entry(&self) -> bool {
        let options = self.options;
        [&options.subscribes, &options.joins, &options.gathers].iter().all(|list| list.key.is_none())
    }

    /// The type of the input.
    fn input(&self) -> Option<&'a Type> {
        self.function.parameters().into_iter().next()
    }

    /// The type beside the function. It only has a type's name, so that the function keeps its own.
    fn marker(&self) -> TokenStream {
        let (ty, vis) = (&self.ty, &self.function.vis);
        let cfgs = self.function.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        let doc = format!("The worker `{}`, as a type.", self.name.value());
        quote_spanned! {self.at=>
            #(#cfgs)*
            #[doc = #doc]
            #[allow(non_camel_case_types, unreachable_pub, missing_docs, missing_debug_implementations, dead_code, clippy::all, clippy::pedantic)]
            #vis enum #ty {}
        }
    }

    fn items(&self) -> TokenStream {
        let (ty, private, function) = (&self.ty, &self.private, &self.function.sig.ident);
        let bucket = bucket(function);
        let path = self.function.name();
        let raw_path = function.to_string();
        let definition = self.definition();
        let impls = self.impls();
        let handler = self.callable.then(|| self.handler());
        let registry = Ident::new("add_nq_registry_to_the_crate_root", self.at);
        let shown_type = ty.to_string();
        let shown_type = shown_type.strip_prefix("r#").unwrap_or(&shown_type);
        let _ = path;
        quote_spanned! {self.at=>
            #[allow(non_local_definitions, clippy::all, clippy::pedantic)]
            const _: () = {
                use crate::#registry as __NqRegistry;
                const ID: u64 = #private::hash(::core::concat!(::core::module_path!(), "::", #raw_path));
                impl #private::Slot<__NqRegistry, { ID }> for #private::bucket::#bucket {
                    const DEF: #private::WorkerDef = #private::WorkerDef {
                        path: ::core::concat!(::core::module_path!(), "::", #raw_path),
                        type_path: ::core::concat!(::core::module_path!(), "::", #shown_type),
                        #definition
                        ..#private::WorkerDef::DEFAULT
                    };
                }
                impl #private::Worker for #ty {
                    const DEF: &'static #private::WorkerDef =
                        &<#private::bucket::#bucket as #private::Slot<__NqRegistry, { ID }>>::DEF;
                }
                impl #private::Own<#ty> for #ty {}
                #impls
                #handler
            };
        }
    }

    /// The fields that the attribute and the signature give.
    fn definition(&self) -> TokenStream {
        let (options, private, name) = (self.options, &self.private, &self.name);
        let broken = self.broken;
        let line = line(self.function.span());
        let mut fields = quote_spanned! {self.at=>
            name: #name,
            file: ::core::file!(),
            line: #line,
        };
        let mut field = |key: &str, value: TokenStream| {
            let key = Ident::new(key, self.at);
            fields.extend(quote_spanned!(self.at=> #key: #value,));
        };
        let flows = &options.flows;
        if !flows.is_empty() {
            field("flows", quote!(&[#(#flows),*]));
        } else if broken {
            field("flows", quote!(&[#private::WorkerDef::UNKNOWN_FLOW]));
        }
        for (key, list) in [
            ("emits", &options.emits),
            ("subscribes", &options.subscribes),
            ("joins", &options.joins),
            ("gathers", &options.gathers),
        ] {
            if !list.items.is_empty() {
                let mentions = list.items.iter().map(|item| self.mention(item));
                field(key, quote!(&[#(#mentions),*]));
            }
        }
        if let (true, Some(input)) = (self.is_entry() && self.callable, self.input()) {
            let mention = self.mention_type(input);
            field("input", quote!(::core::option::Option::Some(#mention)));
        }
        let some = |value: &dyn ToTokens| quote!(::core::option::Option::Some(#value));
        if let Some(queue) = &options.queue {
            field("queue", some(queue));
        }
        if let Some((_, by)) = &options.by {
            field("by", some(by));
        }
        if let Some(retries) = options.retries {
            field("retries", quote!(#retries));
        }
        if let Some(backoff) = &options.backoff {
            field("backoff", backoff_tokens(backoff, private));
        }
        if let Some(timeout) = options.timeout_ms {
            field("timeout_ms", some(&timeout));
        }
        if let Some(concurrency) = options.concurrency {
            field("concurrency", some(&concurrency));
        }
        if let Some(max_crashes) = options.max_crashes {
            field("max_crashes", quote!(#max_crashes));
        }
        if options.continues {
            field("on_failure", quote!(#private::OnFailure::Continue));
        }
        if broken {
            field("broken", quote!(true));
        }
        fields
    }

    fn mention(&self, item: &EventItem) -> TokenStream {
        match item {
            EventItem::Type(ty) => self.mention_type(ty),
            EventItem::Name(name) => {
                let private = &self.private;
                quote!(#private::EventRef { name: #name, type_path: ::core::option::Option::None })
            }
        }
    }

    fn mention_type(&self, ty: &Type) -> TokenStream {
        let private = respan(&self.private, ty.span());
        quote_spanned!(ty.span()=> <#ty as #private::Event>::DEF.mention())
    }

    /// What relates the worker to its events.
    fn impls(&self) -> TokenStream {
        let (private, ty) = (&self.private, &self.ty);
        let mut impls = TokenStream::new();
        for item in &self.options.emits.items {
            if let EventItem::Type(event) = item {
                impls.extend(quote_spanned!(event.span()=> impl #private::EmittedBy<#ty> for #event {}));
            }
        }
        if let (true, Some(input)) = (self.is_entry() && self.callable, self.input()) {
            impls.extend(quote_spanned!(input.span()=> impl #private::InputOf<#ty> for #input {}));
        }
        impls
    }

    /// What the running program calls.
    fn handler(&self) -> TokenStream {
        let (private, ty, function) = (&self.private, &self.ty, &self.function.sig.ident);
        let parameters = self.function.parameters();
        let Some((input, others)) = parameters.split_first() else { return TokenStream::new() };
        let make_input = self.make_input(input);
        let extracts = others
            .iter()
            .map(|other| quote_spanned!(other.span()=> #private::extract::<#ty, #other>(&step)?));
        let checks = others
            .iter()
            .map(|other| quote_spanned!(other.span()=> #private::check_provided::<#ty, #other>(provided)?;));
        let events = self.events(input);
        let call = quote_spanned!(self.at=> #function(input, #(#extracts),*).await);
        let outcome = quote_spanned!(generated_at(self.function.return_span())=> #private::outcome(result));
        let provided = if others.is_empty() { quote!(_) } else { quote!(provided) };
        quote_spanned! {self.at=>
            #private::inventory::submit! {
                #private::Handler {
                    def: <#ty as #private::Worker>::DEF,
                    events: &[#(#events),*],
                    call: |step| #private::boxed(async move {
                        let input = #make_input?;
                        let result = #call;
                        #outcome
                    }),
                    check: |#provided| {
                        #(#checks)*
                        ::core::result::Result::Ok(())
                    },
                }
            }
        }
    }

    /// The definitions of all typed events that the worker mentions.
    fn events(&self, input: &Type) -> Vec<TokenStream> {
        let (options, private) = (self.options, &self.private);
        let lists = [&options.emits, &options.subscribes, &options.joins, &options.gathers];
        let mut types: Vec<&Type> = lists.into_iter().flat_map(typed).collect();
        if self.is_entry() {
            types.push(input);
        }
        types.into_iter().map(|ty| quote_spanned!(ty.span()=> <#ty as #private::Event>::DEF)).collect()
    }

    /// The expression that makes the input from what has arrived.
    fn make_input(&self, input: &Type) -> TokenStream {
        let (private, ty, options, span) = (&self.private, &self.ty, self.options, input.span());
        if let [_, ..] = options.joins.items.as_slice() {
            let items = &options.joins.items;
            if typed(&options.joins).next().is_none() {
                return quote_spanned!(span=> #private::joined_untyped::<#input>(&step));
            }
            let sides = items.iter().map(|item| match item {
                EventItem::Type(event) => event.to_token_stream(),
                EventItem::Name(_) => quote!(#private::Json),
            });
            return quote_spanned!(span=> #private::joined::<#ty, (#(#sides,)*), #input>(&step));
        }
        let list = if options.gathers.key.is_some() { &options.gathers } else { &options.subscribes };
        let item = if options.gathers.key.is_some() {
            quote_spanned!(span=> <#input as #private::InputOfGather<#ty>>::Item)
        } else {
            input.to_token_stream()
        };
        let mixed = typed(list).next().is_some();
        let arms = list.items.iter().map(|event| match event {
            EventItem::Type(event) => {
                quote_spanned!(span=> #private::arm::<#ty, #item, #event>(<#event as #private::Event>::DEF.name))
            }
            EventItem::Name(name) if mixed => {
                quote_spanned!(span=> #private::arm_json::<#ty, #item>(#name))
            }
            EventItem::Name(name) => quote_spanned!(span=> #private::arm_untyped::<#item>(#name)),
        });
        let arms: Vec<_> = arms.collect();
        if options.gathers.key.is_some() {
            quote_spanned!(span=> #private::gathered::<#ty, #input>(&step, &[#(#arms),*]))
        } else if options.subscribes.key.is_some() {
            quote_spanned!(span=> #private::one_of::<#input>(&step, &[#(#arms),*]))
        } else {
            quote_spanned!(span=> #private::started::<#input>(&step))
        }
    }

    /// The checks of the graph, each spanned at what it judges.
    fn checks(&self) -> TokenStream {
        let (private, options) = (&self.private, self.options);
        let mut checks = TokenStream::new();
        let mut check = |span: Span, name: &str, rest: TokenStream| {
            // All of it at the token, or rustc would point at the attribute.
            let (name, ty, private) = (Ident::new(name, span), respan(&self.ty, span), respan(private, span));
            let rest = respan(rest, span);
            checks.extend(quote_spanned! {span=>
                const _: () = #private::proof::#name(
                    <crate::add_nq_registry_to_the_crate_root as #private::Registered>::GRAPH,
                    <#ty as #private::Worker>::DEF,
                    #rest
                );
            });
        };
        check(
            options.name.as_ref().map_or(self.function.span(), Spanned::span),
            "member",
            TokenStream::new(),
        );
        for (number, flow) in options.flows.iter().enumerate() {
            let number = Literal::usize_unsuffixed(number);
            check(flow.span(), "flow", quote!(#number));
        }
        let lists: [(&str, &EventList); 4] = [
            ("Emits", &options.emits),
            ("Subscribes", &options.subscribes),
            ("Joins", &options.joins),
            ("Gathers", &options.gathers),
        ];
        for (role, list) in lists {
            for (number, item) in list.items.iter().enumerate() {
                let (role, number) = (Ident::new(role, item.span()), Literal::usize_unsuffixed(number));
                check(item.span(), "mention", quote!(#private::proof::Role::#role, #number));
            }
        }
        if let (true, Some(input)) = (self.is_entry() && self.callable, self.input()) {
            check(input.span(), "mention", quote!(#private::proof::Role::Input, 0));
        }
        checks
    }
}

fn typed(list: &EventList) -> impl Iterator<Item = &Type> {
    list.items.iter().filter_map(|item| match item {
        EventItem::Type(ty) => Some(ty),
        EventItem::Name(_) => None,
    })
}

fn backoff_tokens(backoff: &Backoff, private: &TokenStream) -> TokenStream {
    match backoff {
        Backoff::Fixed { delay_ms } => quote!(#private::Backoff::Fixed { delay_ms: #delay_ms }),
        Backoff::Exponential { base_ms, max_ms } => {
            quote!(#private::Backoff::Exponential { base_ms: #base_ms, max_ms: #max_ms })
        }
    }
}

/// The line that a span begins at.
fn line(span: Span) -> u32 {
    u32::try_from(span.unwrap().line()).unwrap_or_default()
}
