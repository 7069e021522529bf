//! `registry!`: all workers of a crate in one constant, and its graph.

use std::path::Path;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Token, parse::Parse};

use crate::attr::list;
use crate::errors::Errors;
use crate::glue::{nq_name, nq_path, respan};
use crate::keys;
use crate::names::{bucket, nearest, plain};
use crate::scan::{Found, scan};

const OPTIONS: &[&str] = &["library", "also", "include", "crate"];

/// The arguments between the parentheses.
#[derive(Default)]
struct Args {
    library: bool,
    also: Vec<syn::Path>,
    include: Vec<syn::Path>,
    /// Workers listed by hand. If there are any, the files are not searched.
    explicit: Vec<syn::Path>,
    nq: Option<syn::Path>,
}

/// Expands `registry!(…)`.
pub(crate) fn expand(args: TokenStream) -> TokenStream {
    if cfg!(nq_unproven) {
        return TokenStream::new();
    }
    let mut errors = Errors::default();
    let args = Args::parse(args, &mut errors);
    let found = if args.explicit.is_empty() { walk(&mut errors) } else { Vec::new() };
    let registry = registry(&args, &found);
    quote!(#errors #registry)
}

impl Args {
    fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut this = Self::default();
        let parse = |input: ParseStream<'_>| {
            while !input.is_empty() {
                this.read(input, errors)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        if let Err(error) = parse.parse2(tokens) {
            errors.push(error);
        }
        this
    }

    fn read(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let path = input.call(syn::Path::parse_mod_style)?;
        if !input.peek(Token![=]) {
            if path.is_ident("library") {
                self.library = true;
            } else {
                self.explicit.push(path);
            }
            return Ok(());
        }
        input.parse::<Token![=]>()?;
        if path.is_ident("crate") {
            self.nq = Some(input.call(syn::Path::parse_mod_style)?);
            return Ok(());
        }
        let inner;
        syn::bracketed!(inner in input);
        let paths = inner.parse_terminated(syn::Path::parse, Token![,])?.into_iter();
        let key = path.get_ident().map(plain).unwrap_or_default();
        match key.as_str() {
            "also" => self.also.extend(paths),
            "include" => self.include.extend(paths),
            _ => {
                let meant = nearest(&key, OPTIONS.iter().copied());
                let help = meant.map(|meant| format!("\nhelp: did you mean `{meant}`?")).unwrap_or_default();
                let known = list(OPTIONS);
                errors.at(&path, format!("unknown option `{key}`{help}\nnote: options are {known}"));
                match meant {
                    Some("include") => self.include.extend(paths),
                    Some("also") => self.also.extend(paths),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Finds the workers of the crate that is being compiled.
fn walk(errors: &mut Errors) -> Vec<Found> {
    let span = Span::call_site();
    // rustdoc compiles a doctest under the name of the file that documents it.
    if std::env::var_os("UNSTABLE_RUSTDOC_TEST_PATH").is_some() {
        errors.at_span(
            span,
            "a doctest has no file to read workers from\nhelp: list them: `nq::registry![charge, ship]`",
        );
        return Vec::new();
    }
    // An editor may not know the file; it evaluates no constants either.
    let Some(file) = span.unwrap().local_file() else { return Vec::new() };
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let name = nq_name();
    scan(&file, &[name.as_str(), "nq"], &read)
}

fn registry(args: &Args, found: &[Found]) -> TokenStream {
    let nq = nq_path(args.nq.as_ref());
    let private = quote!(#nq::__private);
    let span = Span::call_site();
    let name = Ident::new("add_nq_registry_to_the_crate_root", span);
    let mut workers: Vec<TokenStream> = found.iter().map(listed).collect();
    for path in args.explicit.iter().chain(&args.also) {
        let private = respan(&private, path.span());
        workers.push(quote_spanned!(path.span()=> <#path as #private::Worker>::DEF));
    }
    let open = args.library;
    let libraries: Vec<_> = args
        .include
        .iter()
        .map(|path| {
            let (private, name) = (respan(&private, path.span()), respan(&name, path.span()));
            quote_spanned!(path.span()=> <#path::#name as #private::Registered>)
        })
        .collect();
    let lists = if libraries.is_empty() {
        quote_spanned!(span=> const WORKERS: &[&#private::WorkerDef] = HERE;)
    } else {
        quote_spanned! {span=>
            const LISTS: &[&[&#private::WorkerDef]] = &[HERE, #(#libraries::WORKERS),*];
            const COUNT: usize = #private::proof::count(LISTS);
            const WORKERS: &[&#private::WorkerDef; COUNT] = &#private::proof::concat(LISTS);
        }
    };
    let checks = args.include.iter().enumerate().map(|(number, path)| {
        let shown = quote!(#path).to_string().replace(' ', "");
        let (from, to) = (number + 1, number + 2);
        let private = respan(&private, path.span());
        quote_spanned! {path.span()=>
            const _: () = #private::proof::included(
                <__NqRegistry as #private::Registered>::GRAPH,
                #shown,
                #private::proof::count(LISTS.split_at(#from).0),
                #private::proof::count(LISTS.split_at(#to).0),
            );
        }
    });
    quote_spanned! {span=>
        const _: () = #private::proof::root(::core::module_path!());
        #[doc(hidden)]
        #[allow(non_camel_case_types, unreachable_pub, missing_docs, missing_debug_implementations, missing_copy_implementations, dead_code, clippy::all, clippy::pedantic)]
        pub enum #name {}
        #[allow(long_running_const_eval, unexpected_cfgs, clippy::all, clippy::pedantic)]
        const _: () = {
            // The registry is named by the path that workers use. If it stands outside of the root, there is one error,
            // and not one for each worker.
            type __NqRegistry = crate::#name;
            const HERE: &[&#private::WorkerDef] = {
                #[allow(unused_imports)]
                use #private::{Slot, bucket::*};
                &[#(#workers),*]
            };
            #lists
            const SIZE: #private::proof::Size = #private::proof::Size::of(WORKERS);
            const PLAN: &#private::proof::Plan<{ SIZE.places }, { SIZE.nodes }, { SIZE.mentions }> =
                &#private::proof::Plan::build(WORKERS, #open);
            impl #private::Registered for __NqRegistry {
                const WORKERS: &'static [&'static #private::WorkerDef] = WORKERS;
                const GRAPH: &'static #private::proof::Graph = &PLAN.graph();
            }
            #(#checks)*
            #private::inventory::submit! {
                #private::Proven {
                    name: ::core::module_path!(),
                    library: #open && !::core::cfg!(test),
                    workers: WORKERS,
                    clean: <__NqRegistry as #private::Registered>::GRAPH.is_clean(),
                }
            }
        };
    }
}

/// The definition of a worker that the walk found.
fn listed(found: &Found) -> TokenStream {
    let span = Span::call_site();
    let cfgs = found.cfgs.iter().map(|cfg| respan(cfg, span));
    let bucket = format_ident!("{}", bucket(&found.function), span = span);
    let (file, line) = &found.place;
    let slot = keys::slot(file, *line, &found.function.to_string());
    quote_spanned! {span=>
        #(#[cfg(#cfgs)])*
        <#bucket as Slot<__NqRegistry, #slot>>::DEF
    }
}
