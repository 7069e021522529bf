//! The rules that a worker can break by itself: one function for each.

use crate::ast::{EventList, Function, Options};
use crate::errors::Errors;

/// Judges a worker by all rules.
pub(crate) fn worker(options: &Options, function: &Function, errors: &mut Errors) {
    is_async(function, errors);
    is_plain_fn(function, errors);
    has_input(function, errors);
    owns_input(function, errors);
    names_its_types(function, errors);
    not_too_many_parameters(function, errors);
    one_kind_of_wait(options, errors);
    joins_pair(options, errors);
    former_flows(options, errors);
    flow_for_events(options, function, errors);
}

fn is_async(function: &Function, errors: &mut Errors) {
    if function.sig.asyncness.is_none() {
        let name = function.name();
        let message = format!("worker `{name}` is not `async`\nhelp: write `async fn {name}`");
        errors.at_span(function.sig.fn_token.span, message);
    }
}

fn is_plain_fn(function: &Function, errors: &mut Errors) {
    let (sig, name) = (&function.sig, function.name());
    if !sig.generics.params.is_empty() {
        errors.at(
            &sig.generics.params,
            format!("worker `{name}` is generic\nhelp: write one worker for each type: a registry lists workers, not families of them"),
        );
    }
    if let syn::Safety::Unsafe(unsafety) = &sig.safety {
        errors.at(
            unsafety,
            format!("worker `{name}` is `unsafe`\nhelp: put the unsafe code into a function that it calls"),
        );
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, format!("worker `{name}` cannot be `const`"));
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, format!("worker `{name}` cannot be `extern`"));
    }
}

fn has_input(function: &Function, errors: &mut Errors) {
    if function.sig.inputs.is_empty() {
        let name = function.name();
        let message = format!(
            "worker `{name}` has no input\nhelp: take the event that it starts with or waits for as the first parameter"
        );
        errors.at_span(function.span(), message);
    }
}

/// The type of the input, if it borrows.
pub(crate) fn borrowed_input(function: &Function) -> Option<&syn::Type> {
    let input = function.parameters().into_iter().next()?;
    borrows(quote::quote!(#input)).then_some(input)
}

fn borrows(tokens: proc_macro2::TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Punct(punct) => matches!(punct.as_char(), '&' | '\''),
        proc_macro2::TokenTree::Group(group) => borrows(group.stream()),
        _ => false,
    })
}

fn owns_input(function: &Function, errors: &mut Errors) {
    if let Some(input) = borrowed_input(function) {
        let name = function.name();
        errors.at(
            input,
            format!("worker `{name}` borrows its input, but nothing keeps it\nhelp: take it by value"),
        );
    }
}

/// The types of parameters that only a caller would know.
pub(crate) fn unnamed_types(function: &Function) -> impl Iterator<Item = &syn::Type> {
    function.parameters().into_iter().filter(|ty| matches!(ty, syn::Type::ImplTrait(_)))
}

fn names_its_types(function: &Function, errors: &mut Errors) {
    let name = function.name();
    for ty in unnamed_types(function) {
        errors.at(
            ty,
            format!("worker `{name}` takes any type here, but it is nq that calls it\nhelp: name the type"),
        );
    }
}

/// The most parameters that a worker has after its input.
pub(crate) const MOST_PARAMETERS: usize = 12;

fn not_too_many_parameters(function: &Function, errors: &mut Errors) {
    if let Some(extra) = function.sig.inputs.iter().nth(MOST_PARAMETERS + 1) {
        let name = function.name();
        errors.at(
            extra,
            format!(
                "worker `{name}` has more than {MOST_PARAMETERS} parameters after its input\nhelp: put some of them into a type of your own that implements `nq::Extract`"
            ),
        );
    }
}

/// `subscribes`, `joins` and `gathers` call a worker in different ways.
fn one_kind_of_wait(options: &Options, errors: &mut Errors) {
    let lists = [&options.subscribes, &options.joins, &options.gathers];
    let keys: Vec<_> = lists.iter().filter_map(|list| list.key.as_ref()).collect();
    for (at, key) in keys.iter().enumerate().skip(1) {
        let first = keys[at - 1];
        errors.wiring = true;
        let message = format!(
            "`{first}` and `{key}` cannot be combined: each calls the worker in its own way\nhelp: split the worker in two, and let one emit what the other waits for"
        );
        errors.at(key, message);
    }
}

/// The most sides that a join has: inputs are tuples, and tuples end here.
const MOST_SIDES: usize = 12;

fn joins_pair(options: &Options, errors: &mut Errors) {
    if let ([only], Some(key)) = (options.joins.items.as_slice(), &options.joins.key) {
        let message =
            "a join needs two events or more\nhelp: to wait for one kind of event, use `subscribes`";
        errors.wiring = true;
        let _ = key;
        errors.at(only, message);
    }
    if let Some(extra) = options.joins.items.get(MOST_SIDES) {
        errors.wiring = true;
        errors.at(extra, format!("a join has at most {MOST_SIDES} sides"));
    }
    if let (Some((key, field)), None) = (&options.by, &options.joins.key) {
        let field = field.value();
        errors.at(key, format!("`by = \"{field}\"` pairs joined events, but this worker has no `joins`"));
    }
    if let Some((_, field)) = options.by.as_ref().filter(|(_, field)| field.value().is_empty()) {
        errors.at(field, "`by` is the name of a field of the joined events");
    }
}

/// If a former name was in another flow, the worker must be in a single flow now: else nobody knows which of its flows
/// takes over.
fn former_flows(options: &Options, errors: &mut Errors) {
    for was in &options.was {
        let text = was.value();
        let Some((flow, name)) = text.split_once('/') else { continue };
        if options.flows.len() > 1 && options.flows.iter().all(|own| own.value() != flow) {
            errors.at(
                was,
                format!("the worker is in several flows now, none of which is `{flow}`\nhelp: give one worker of a single flow `was = [\"{text}\"]`, or write `was = [\"{name}\"]` if only the name changed"),
            );
        }
    }
}

/// A worker without a flow is a plain queue worker: it waits for no event, and emits none.
fn flow_for_events(options: &Options, function: &Function, errors: &mut Errors) {
    if options.has_flow {
        return;
    }
    let refuse = |list: &EventList, errors: &mut Errors| {
        if let Some(key) = &list.key {
            let name = function.name();
            errors.wiring = true;
            errors.at(
                key,
                format!("worker `{name}` has `{key}` but no flow\nhelp: add `flow = \"…\"`: events stay in the flow that they are emitted in"),
            );
        }
    };
    for list in [&options.emits, &options.subscribes, &options.joins, &options.gathers] {
        refuse(list, errors);
    }
}
