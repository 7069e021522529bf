//! `#[worker]`: the function as written, and beside it the items that make it a worker.

use std::path::Path;

use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{LitStr, Type};

use crate::ast::{Backoff, EventList, Function, Options};
use crate::attr::{EventItem, Value};
use crate::check;
use crate::errors::Errors;
use crate::glue::{generated_at, nq_path, respan};
use crate::keys;
use crate::names::{bucket, plain};
use crate::place;

/// Expands `#[worker(…)]`.
pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(attr, &mut errors);
    let Ok(function) = Function::parse(item.clone()) else {
        errors.at_span(Span::call_site(), "`#[nq::worker]` goes on an `async fn`");
        return quote!(#errors #item);
    };
    if let Some(receiver) = function.sig.receiver() {
        let name = function.name();
        errors.at(
            receiver,
            format!("worker `{name}` takes `self`, but nobody could give it\nhelp: move it out of the `impl` block; what it needs comes through `Data<T>`"),
        );
        let stub = place::stub(&function);
        return quote!(#errors #stub);
    }
    if let Some(block) = place::surrounding(Span::call_site()) {
        let name = function.name();
        errors.at_span(
            function.span(),
            format!("worker `{name}` stands in {block}, but a worker is a function of a module\nhelp: move it out of the block; what it needs comes through `Data<T>`"),
        );
        let stub = place::stub(&function);
        return quote!(#errors #stub);
    }
    check::worker(&options, &function, &mut errors);
    let worker = Worker::new(&options, &function, &errors);
    let (marker, items) = (worker.marker(), worker.items());
    let tokens = &function.tokens;
    let allow = quote_spanned!(worker.at=> #[allow(clippy::unused_async)]);
    quote!(#errors #allow #tokens #marker #items)
}

/// A worker, as far as its attribute and signature could be read.
pub(crate) struct Worker<'a> {
    pub(crate) options: &'a Options,
    pub(crate) function: &'a Function,
    /// The hidden module of nq.
    module: TokenStream,
    /// The short name of that module in generated code: it costs rustc less than the whole path at every mention.
    pub(crate) private: Ident,
    /// Where generated code points at: the function's name.
    pub(crate) at: Span,
    /// The type that stands for the worker.
    pub(crate) ty: Ident,
    name: LitStr,
    /// Whether a mistake leaves its wiring unknown.
    broken: bool,
    /// Whether generated code can call the function.
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
            && (1..=check::MOST_PARAMETERS + 1).contains(&function.sig.inputs.len())
            && function.sig.abi.is_none()
            && check::borrowed_input(function).is_none()
            && check::unnamed_types(function).next().is_none()
            && (errors.count() == 0 || !errors.wiring);
        Self {
            options,
            function,
            module: respan(quote!(#nq::__private), at),
            private: private_at(at),
            at,
            ty,
            name,
            broken: errors.wiring,
            callable,
        }
    }

    /// Whether runs start with it.
    pub(crate) fn is_entry(&self) -> bool {
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
        let cfgs = self.cfgs();
        let doc = format!("The worker `{}`, as a type.", self.name.value());
        quote_spanned! {self.at=>
            #cfgs
            #[doc = #doc]
            #[allow(
                non_camel_case_types, unreachable_pub, unnameable_types, dead_code, missing_docs,
                missing_debug_implementations, missing_copy_implementations, clippy::all, clippy::pedantic,
            )]
            #vis enum #ty {}
        }
    }

    /// The conditions that the function stands under, below this attribute.
    fn cfgs(&self) -> TokenStream {
        let cfgs = self.function.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)*)
    }

    fn items(&self) -> TokenStream {
        let (ty, module, private) = (&self.ty, &self.module, &self.private);
        let (path, shown_type) = (self.function.sig.ident.to_string(), plain(ty));
        let (cfgs, definition, impls) = (self.cfgs(), self.definition(), self.impls());
        let handler = self.callable.then(|| self.handler());
        // Benchmarks measure the cost of the proof against the same crate without it.
        let proof = if cfg!(nq_unproven) { TokenStream::new() } else { self.proof() };
        quote_spanned! {self.at=>
            #cfgs
            #[allow(non_local_definitions, deprecated, unused_qualifications, clippy::all, clippy::pedantic)]
            const _: () = {
                use #module as #private;
                impl #private::Worker for #ty {
                    const DEF: &'static #private::WorkerDef = &#private::WorkerDef {
                        path: ::core::concat!(::core::module_path!(), "::", #path),
                        type_path: ::core::concat!(::core::module_path!(), "::", #shown_type),
                        #definition
                        ..#private::WorkerDef::DEFAULT
                    };
                }
                impl #private::Own<#ty> for #ty {}
                #impls
                #handler
                #proof
            };
        }
    }

    /// Where `registry!` finds the definition, and what the worker asks of the graph.
    fn proof(&self) -> TokenStream {
        let (ty, private, function) = (&self.ty, &self.private, &self.function.sig.ident);
        let at = self.function.sig.fn_token.span.unwrap();
        let (file, line) =
            (at.local_file().unwrap_or_default(), u32::try_from(at.line()).unwrap_or_default());
        let (bucket, slot) = (bucket(function), keys::slot(&file, line, &function.to_string()));
        let (registry, checks) = (self.registry(), self.checks());
        quote_spanned! {self.at=>
            impl #private::Slot<#registry, #slot> for #private::bucket::#bucket {
                const DEF: &'static #private::WorkerDef = <#ty as #private::Worker>::DEF;
            }
            #checks
        }
    }

    /// The path of the crate's registry. If the crate has none, rustc reports its last name, which says what to write. It
    /// reports this once, since all mentions have the same span.
    fn registry(&self) -> TokenStream {
        quote_spanned!(self.function.span()=> crate::add_nq_registry_to_the_crate_root)
    }

    /// The fields that the attribute and the signature give.
    fn definition(&self) -> TokenStream {
        let (options, private, name) = (self.options, &self.private, &self.name);
        let broken = self.broken;
        let line = line(self.function.span());
        let mut fields = quote_spanned! {self.at=>
            name: #name,
            file: ::core::file!(),
            line: || #line,
        };
        let mut field = |key: &str, value: TokenStream| {
            let key = Ident::new(key, self.at);
            fields.extend(quote_spanned!(self.at=> #key: #value,));
        };
        if !cfg!(nq_unproven) {
            field("keys", self.keys());
        }
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
            let (ty, private) = (&self.ty, private_at(input.span()));
            // The bound is used here, too, so that an input that is not an event is one error.
            let mention = quote_spanned!(input.span()=> #private::input_def::<#ty, #input>().mention());
            field("input", quote!(::core::option::Option::Some(#mention)));
        }
        let some = |value: &dyn ToTokens| quote!(::core::option::Option::Some(#value));
        if !options.was.is_empty() {
            let was = &options.was;
            field("was", quote!(&[#(#was),*]));
        }
        if let Some(queue) = &options.queue {
            field("queue", some(queue));
        }
        if let Some((_, by)) = &options.by {
            field("by", some(by));
        }
        if let Some(retries) = &options.retries {
            field("retries", number(retries));
        }
        if let Some(backoff) = &options.backoff {
            field("backoff", self.backoff(backoff));
        }
        if let Some(timeout) = &options.timeout_ms {
            field("timeout_ms", some(&self.milliseconds(timeout)));
        }
        if let Some(concurrency) = &options.concurrency {
            field("concurrency", some(&number(concurrency)));
        }
        if let Some(max_crashes) = &options.max_crashes {
            field("max_crashes", number(max_crashes));
        }
        if options.continues {
            field("on_failure", quote!(#private::OnFailure::Continue));
        }
        if !options.allow.is_empty() {
            let allow = &options.allow;
            field("allow", quote!(&[#(#allow),*]));
        }
        if broken {
            field("broken", quote!(true));
        }
        fields
    }

    /// The key by which the proof finds the worker.
    fn keys(&self) -> TokenStream {
        let private = &self.private;
        let at = self.function.sig.fn_token.span.unwrap();
        let file = at.local_file();
        let file = file.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        // The column, unlike the line, stays when a file grows above.
        let place = format!("{file}:{}", at.column());
        let function =
            keys::of(keys::WORKER, &self.function.sig.ident.to_string()) ^ keys::of(keys::PATH, &place);
        let name = keys::of(keys::WORKER, &self.name.value());
        let flows = self.options.flows.iter().map(|flow| keys::of(keys::FLOW, &flow.value()));
        quote! {
            #private::WorkerKeys {
                path: #private::keys::within(::core::module_path!(), #function),
                name: #name,
                flows: &[#(#flows),*],
            }
        }
    }

    /// A duration as an expression of its milliseconds.
    fn milliseconds(&self, value: &Value<u64>) -> TokenStream {
        let private = &self.private;
        match value {
            Value::Read(ms) => quote!(#ms),
            // A wrong type is an error at the constant.
            Value::Constant(constant) => quote_spanned! {self.at=>
                { let duration: ::core::time::Duration = #constant; #private::duration_ms(duration) }
            },
        }
    }

    fn backoff(&self, backoff: &Backoff) -> TokenStream {
        let private = &self.private;
        match backoff {
            Backoff::Fixed { delay_ms } => {
                let delay_ms = self.milliseconds(delay_ms);
                quote_spanned!(self.at=> #private::Backoff::Fixed { delay_ms: #delay_ms })
            }
            Backoff::Exponential { base_ms, max_ms } => {
                let base_ms = self.milliseconds(base_ms);
                let Some(max_ms) = max_ms else {
                    return quote_spanned!(self.at=> #private::Backoff::exponential(#base_ms));
                };
                let max_ms = self.milliseconds(max_ms);
                quote_spanned! {self.at=>
                    #private::Backoff::Exponential { base_ms: #base_ms, max_ms: #max_ms }
                }
            }
        }
    }

    fn mention(&self, item: &EventItem) -> TokenStream {
        match item {
            EventItem::Type(ty) => Self::mention_type(ty),
            EventItem::Name(name) => {
                let private = &self.private;
                let key = keys::of(keys::EVENT, &name.value());
                quote! {
                    #private::EventRef {
                        name: #name, key: #key, type_path: ::core::option::Option::None, type_key: 0,
                    }
                }
            }
        }
    }

    fn mention_type(ty: &Type) -> TokenStream {
        let private = private_at(ty.span());
        quote_spanned!(ty.span()=> <#ty as #private::Event>::DEF.mention())
    }

    /// The implementations that relate the worker to its events.
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

    /// The checks of the graph. Each is a call with the span of the token that it judges, where rustc then shows the error.
    ///
    /// A constant ends with its first mistake, and each constant costs rustc time. So all checks are in the constant that
    /// holds the worker's items; but if the worker waits for several events, each event has a constant of its own.
    fn checks(&self) -> TokenStream {
        let options = self.options;
        let mut calls = TokenStream::new();
        let mut others = TokenStream::new();
        let lists: [(&str, &EventList); 3] =
            [("Subscribes", &options.subscribes), ("Joins", &options.joins), ("Gathers", &options.gathers)];
        for (role, list) in lists {
            for (number, item) in list.items.iter().enumerate() {
                if list.items.len() == 1 {
                    let (private, role) = (&self.private, Ident::new(role, self.at));
                    let role = quote_spanned!(self.at=> #private::proof::Role::#role);
                    calls.extend(self.check(item, "waits", role));
                } else {
                    let check = self.judged(&self.check_mention(item, role, number));
                    others.extend(quote_spanned!(self.at=> const _: () = { #check };));
                }
            }
        }
        calls.extend(match &options.name {
            Some(name) => self.check(name, "member", TokenStream::new()),
            None => self.check(&self.function.sig.ident, "member", TokenStream::new()),
        });
        for (number, was) in options.was.iter().enumerate() {
            let number = Literal::usize_unsuffixed(number);
            calls.extend(self.check(was, "was", quote!(#number)));
        }
        for (number, flow) in options.flows.iter().enumerate() {
            let number = Literal::usize_unsuffixed(number);
            calls.extend(self.check(flow, "flow", quote!(#number)));
        }
        if let (true, Some(input)) = (self.is_entry() && self.callable, self.input()) {
            calls.extend(self.check_mention(input, "Input", 0));
        }
        for (number, item) in options.emits.items.iter().enumerate() {
            calls.extend(self.check_mention(item, "Emits", number));
        }
        let checks = self.judged(&calls);
        let constants = self.constants();
        quote!(#others #checks #constants)
    }

    /// The checks of options that need no graph, in constants of their own.
    fn constants(&self) -> TokenStream {
        let (options, private, ty) = (self.options, &self.private, &self.ty);
        let mut checks = Vec::new();
        if let Some((_, by)) = &options.by {
            let events = options.joins.items.iter().filter_map(|item| match item {
                EventItem::Type(event) => {
                    let private = private_at(event.span());
                    Some(quote_spanned!(event.span()=> <#event as #private::Event>::DEF))
                }
                EventItem::Name(_) => None,
            });
            checks.push(self.call(by, "pairs", &quote!(#by, &[#(#events),*])));
        }
        let numbers = [("concurrency", &options.concurrency), ("max_crashes", &options.max_crashes)];
        for (key, value) in numbers {
            if let Some(Value::Constant(constant)) = value {
                checks.push(self.call(constant, "at_least_one", &quote!(#key, #constant)));
            }
        }
        let mut durations = vec![("timeout", options.timeout_ms.as_ref())];
        match &options.backoff {
            Some(Backoff::Fixed { delay_ms }) => durations.push(("backoff", Some(delay_ms))),
            Some(Backoff::Exponential { base_ms, max_ms }) => {
                durations.extend([("backoff", Some(base_ms)), ("max", max_ms.as_ref())]);
            }
            None => {}
        }
        for (key, value) in durations {
            if let Some(value @ Value::Constant(constant)) = value {
                let ms = self.milliseconds(value);
                checks.push(self.call(constant, "duration", &quote!(#key, #ms)));
            }
        }
        if let Some(Backoff::Exponential { base_ms, max_ms: Some(max_ms) }) = &options.backoff {
            let constant = [max_ms, base_ms].into_iter().find_map(|value| match value {
                Value::Constant(constant) => Some(constant),
                Value::Read(_) => None,
            });
            checks.extend(constant.map(|constant| self.call(constant, "grows", &TokenStream::new())));
        }
        quote_spanned! {self.at=>
            #(const _: () = {
                let worker = <#ty as #private::Worker>::DEF;
                #checks
            };)*
        }
    }

    /// The constants that these checks read, and then the checks.
    fn judged(&self, calls: &TokenStream) -> TokenStream {
        let (private, ty) = (&self.private, &self.ty);
        let registry = self.registry();
        quote_spanned! {self.at=>
            let graph = <#registry as #private::Registered>::GRAPH;
            let worker = <#ty as #private::Worker>::DEF;
            #calls
        }
    }

    fn check_mention(&self, item: impl ToTokens, role: &str, number: usize) -> TokenStream {
        let private = &self.private;
        let (role, number) = (Ident::new(role, self.at), Literal::usize_unsuffixed(number));
        self.check(item, "mention", quote_spanned!(self.at=> #private::proof::Role::#role, #number))
    }

    fn check(&self, guilty: impl ToTokens, name: &str, rest: TokenStream) -> TokenStream {
        let args = quote_spanned!(self.at=> graph, worker, #rest);
        self.call_with(guilty, name, args)
    }

    /// A check that does not look at the graph.
    fn call(&self, guilty: impl ToTokens, name: &str, rest: &TokenStream) -> TokenStream {
        let args = quote_spanned!(self.at=> worker, #rest);
        self.call_with(guilty, name, args)
    }

    fn call_with(&self, guilty: impl ToTokens, name: &str, args: TokenStream) -> TokenStream {
        // The call must have the span of the guilty tokens, from the first to the last, or rustc would point at the
        // attribute. The spans between its parentheses do not matter.
        let guilty = guilty.into_token_stream().into_iter().map(|token| token.span());
        let (first, last) = guilty.fold((None, self.at), |(first, _), span| (first.or(Some(span)), span));
        let first = first.unwrap_or(self.at);
        let (name, private) = (Ident::new(name, first), private_at(first));
        let mut args = Group::new(Delimiter::Parenthesis, args);
        args.set_span(last);
        quote_spanned!(first=> #private::proof::#name #args;)
    }
}

/// The name of nq's hidden module in generated code, at a place.
fn private_at(span: Span) -> Ident {
    Ident::new("__nq", span)
}

/// A number as an expression.
fn number(value: &Value<u32>) -> TokenStream {
    match value {
        Value::Read(number) => quote!(#number),
        Value::Constant(constant) => constant.to_token_stream(),
    }
}

/// The line that a span begins at.
fn line(span: Span) -> u32 {
    u32::try_from(span.unwrap().line()).unwrap_or_default()
}
