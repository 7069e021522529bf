//! The handler that `#[worker]` submits, and that the running program calls.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use crate::ast::EventList;
use crate::attr::EventItem;
use crate::expand::Worker;

impl Worker<'_> {
    /// Submits the handler: types and paths, and hardly any code, since rustc checks it for each worker.
    pub(crate) fn handler(&self) -> TokenStream {
        let (private, ty, function) = (&self.private, &self.ty, &self.function.sig.ident);
        let parameters = self.function.parameters();
        let Some((input, others)) = parameters.split_first() else { return TokenStream::new() };
        let (events, make_input) = (self.events(input), self.make_input(input));
        let extracts =
            others.iter().map(|other| quote_spanned!(other.span()=> #private::extract::<#ty, #other>));
        let needs =
            others.iter().map(|other| quote_spanned!(other.span()=> #private::check_provided::<#ty, #other>));
        let call = Ident::new(&format!("call{}", others.len()), self.at);
        let returned = self.function.returned();
        let outcome = quote_spanned!(returned.span()=> #private::outcome::<#returned>);
        quote_spanned! {self.at=>
            #private::inventory::submit! {
                #private::Handler {
                    def: <#ty as #private::Worker>::DEF,
                    events: &[#(#events),*],
                    call: &#private::#call(#make_input, #(#extracts,)* #outcome, #function),
                    needs: &[#(#needs),*],
                }
            }
        }
    }

    /// The definitions of all typed events that the worker mentions.
    fn events(&self, input: &Type) -> Vec<TokenStream> {
        let (options, private, ty) = (self.options, &self.private, &self.ty);
        let lists = [&options.emits, &options.subscribes, &options.joins, &options.gathers];
        let types = lists.into_iter().flat_map(typed);
        let mut events: Vec<_> =
            types.map(|event| quote_spanned!(event.span()=> <#event as #private::Event>::DEF)).collect();
        if self.is_entry() {
            events.push(quote_spanned!(input.span()=> #private::input_def::<#ty, #input>()));
        }
        events
    }

    /// The function that makes the input from the events that have arrived.
    fn make_input(&self, input: &Type) -> TokenStream {
        let (private, ty, options, span) = (&self.private, &self.ty, self.options, input.span());
        // Every bound name has the span of the function's name, even if other tokens come from a `macro_rules` of the
        // user. With different spans they would be different names.
        let step = Ident::new("step", self.at);
        if options.joins.key.is_some() {
            return self.make_joined(input);
        }
        if options.gathers.key.is_some() {
            if let [EventItem::Type(event)] = options.gathers.items.as_slice() {
                return quote_spanned!(span=> #private::gathered_sole::<#ty, #input, _, #event>);
            }
            let item = quote_spanned!(span=> <#input as #private::InputOfGather<#ty>>::Item);
            let arms = self.arms(&options.gathers, &item, input);
            quote_spanned!(span=> |#step| #private::gathered::<#ty, #input>(#step, &[#(#arms),*]))
        } else if options.subscribes.key.is_some() {
            if let [EventItem::Type(event)] = options.subscribes.items.as_slice() {
                return quote_spanned!(span=> #private::sole::<#ty, #input, #event>);
            }
            let arms = self.arms(&options.subscribes, &input.to_token_stream(), input);
            quote_spanned!(span=> |#step| #private::one_of::<#input>(#step, &[#(#arms),*]))
        } else {
            quote_spanned!(span=> #private::started::<#ty, #input>)
        }
    }

    fn make_joined(&self, input: &Type) -> TokenStream {
        let (private, ty, joins, span) = (&self.private, &self.ty, &self.options.joins, input.span());
        if typed(joins).next().is_none() {
            return quote_spanned!(span=> #private::joined_untyped::<#input>);
        }
        let sides = joins.items.iter().map(|item| match item {
            EventItem::Type(event) => event.to_token_stream(),
            EventItem::Name(_) => quote!(#private::Json),
        });
        quote_spanned!(span=> #private::joined::<#ty, (#(#sides,)*), #input>)
    }

    /// How `item` is made from each kind of event.
    fn arms(&self, list: &EventList, item: &TokenStream, input: &Type) -> Vec<TokenStream> {
        let (private, ty, span) = (&self.private, &self.ty, input.span());
        let mixed = typed(list).next().is_some();
        let arm = |event: &EventItem| match event {
            EventItem::Type(event) => quote_spanned!(span=> #private::arm::<#ty, #item, #event>()),
            EventItem::Name(name) if mixed => quote_spanned!(span=> #private::arm_json::<#ty, #item>(#name)),
            EventItem::Name(name) => quote_spanned!(span=> #private::arm_untyped::<#item>(#name)),
        };
        list.items.iter().map(arm).collect()
    }
}

fn typed(list: &EventList) -> impl Iterator<Item = &Type> {
    list.items.iter().filter_map(|item| match item {
        EventItem::Type(ty) => Some(&**ty),
        EventItem::Name(_) => None,
    })
}
