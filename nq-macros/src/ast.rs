//! The input of `#[worker]`, typed and with its spans: the options and the function's signature.

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, LitStr, Signature, Type, Visibility};

use crate::attr::{EventItem, Opt, Value, check_name, duration_ms, list, options};
use crate::errors::Errors;
use crate::names::{nearest, plain, refuse_event_name, refuse_name};

/// The options of `#[worker]`, in the order in which messages list them.
const OPTIONS: &[&str] = &[
    "flow",
    "flows",
    "name",
    "was",
    "type",
    "queue",
    "emits",
    "subscribes",
    "joins",
    "by",
    "gathers",
    "retries",
    "backoff",
    "timeout",
    "concurrency",
    "max_crashes",
    "on_failure",
    "allow",
    "crate",
];

/// The options that say how a worker is wired: after a mistake in one of them, the graph is not known.
const WIRING: &[&str] = &["flow", "flows", "name", "emits", "subscribes", "joins", "gathers"];

/// How the delay between attempts grows, in milliseconds.
pub(crate) enum Backoff {
    Fixed {
        delay_ms: Value<u64>,
    },
    /// Without a `max`, the delay grows up to five minutes, or stays at the first delay if that is longer.
    Exponential {
        base_ms: Value<u64>,
        max_ms: Option<Value<u64>>,
    },
}

/// A list of events, and the key that it stands under.
#[derive(Default)]
pub(crate) struct EventList {
    pub(crate) key: Option<Ident>,
    pub(crate) items: Vec<EventItem>,
}

/// The options of a worker.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) flows: Vec<LitStr>,
    /// Whether `flow` or `flows` is there, though it may be broken.
    pub(crate) has_flow: bool,
    pub(crate) name: Option<LitStr>,
    /// Its former names.
    pub(crate) was: Vec<LitStr>,
    pub(crate) type_name: Option<Ident>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) emits: EventList,
    pub(crate) subscribes: EventList,
    pub(crate) joins: EventList,
    pub(crate) by: Option<(Ident, LitStr)>,
    pub(crate) gathers: EventList,
    pub(crate) retries: Option<Value<u32>>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) timeout_ms: Option<Value<u64>>,
    pub(crate) concurrency: Option<Value<u32>>,
    pub(crate) max_crashes: Option<Value<u32>>,
    pub(crate) continues: bool,
    /// The rules of `cargo xtask registry --check` that are not applied to this worker.
    pub(crate) allow: Vec<LitStr>,
    pub(crate) nq: Option<syn::Path>,
}

impl Options {
    /// Reads the attribute as far as it can be read.
    pub(crate) fn parse(attr: TokenStream, errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for option in options(attr, OPTIONS, errors) {
            let before = errors.count();
            this.set(&option, errors);
            if errors.count() > before && WIRING.contains(&option.key.as_str()) {
                errors.wiring = true;
            }
        }
        this
    }

    fn set(&mut self, option: &Opt, errors: &mut Errors) {
        match option.key.as_str() {
            "flow" => {
                let flow = errors.ok(option.name(refuse_name));
                self.add_flows(option, flow.into_iter().collect(), errors);
            }
            "flows" => {
                let flows: Vec<LitStr> = errors.ok(option.list("\"order\", \"refund\"")).unwrap_or_default();
                let fine = |flow: &LitStr| errors.ok(check_name(flow, refuse_name)).is_some();
                let flows = flows.into_iter().filter(fine).collect();
                self.add_flows(option, flows, errors);
            }
            "name" => self.name = errors.ok(option.name(refuse_name)),
            "was" => self.was = former_names(option, errors),
            "type" => self.type_name = errors.ok(option.ident()),
            "queue" => self.queue = errors.ok(option.name(refuse_name)),
            "emits" => self.emits = events(option, errors),
            "subscribes" => self.subscribes = events(option, errors),
            "joins" => self.joins = events(option, errors),
            "gathers" => self.gathers = events(option, errors),
            "by" => self.by = errors.ok(option.text()).map(|field| (option.ident.clone(), field)),
            "retries" => self.retries = errors.ok(option.number(0)),
            "backoff" => self.backoff = errors.ok(backoff(option)),
            "timeout" => self.timeout_ms = errors.ok(option.duration_ms()),
            "concurrency" => self.concurrency = errors.ok(option.number(1)),
            "max_crashes" => self.max_crashes = errors.ok(option.number(1)),
            "on_failure" => self.continues = errors.ok(on_failure(option)).unwrap_or_default(),
            "allow" => {
                let rules: Vec<LitStr> = errors.ok(option.list("\"no-timeout\"")).unwrap_or_default();
                self.allow = rules.into_iter().filter(|rule| errors.ok(check_rule(rule)).is_some()).collect();
            }
            "crate" => self.nq = errors.ok(option.path()),
            _ => {}
        }
    }

    fn add_flows(&mut self, option: &Opt, flows: Vec<LitStr>, errors: &mut Errors) {
        if self.has_flow {
            errors.at(
                &option.ident,
                "`flow` and `flows` are both set\nhelp: list all flows in `flows = [\"…\", \"…\"]`",
            );
        }
        self.has_flow = true;
        for flow in flows {
            if self.flows.iter().any(|other| other.value() == flow.value()) {
                errors.at(&flow, format!("flow `{}` is listed twice", flow.value()));
            } else {
                self.flows.push(flow);
            }
        }
    }
}

/// Former names, each as `name` or as `flow/name`.
fn former_names(option: &Opt, errors: &mut Errors) -> Vec<LitStr> {
    let names: Vec<LitStr> = errors.ok(option.list("\"old_name\"")).unwrap_or_default();
    let mut listed: Vec<LitStr> = Vec::new();
    for name in names {
        let text = name.value();
        let part = |part: &str| check_name(&LitStr::new(part, name.span()), refuse_name);
        if !text.splitn(2, '/').all(|text| errors.ok(part(text)).is_some()) {
            continue;
        }
        if listed.iter().any(|other| other.value() == text) {
            errors.at(&name, format!("`{text}` is listed twice\nhelp: remove one of the two"));
        } else {
            listed.push(name);
        }
    }
    listed
}

/// The rules of `cargo xtask registry --check`, by their names in `nq_core::export`.
const RULES: [&str; 4] = ["unconsumed", "cycle", "unpaired", "no-timeout"];

fn check_rule(rule: &LitStr) -> syn::Result<()> {
    let text = rule.value();
    if RULES.contains(&text.as_str()) {
        return Ok(());
    }
    let meant = nearest(&text, RULES).map(|meant| format!("\nhelp: did you mean `{meant}`?"));
    let (meant, known) = (meant.unwrap_or_default(), list(&RULES));
    Err(syn::Error::new(rule.span(), format!("`{text}` is no rule{meant}\nnote: rules are {known}")))
}

fn events(option: &Opt, errors: &mut Errors) -> EventList {
    let items = match option.list::<EventItem>("OrderPaid, OrderSent") {
        Ok(items) => items,
        Err(error) => {
            errors.push(error);
            option.unbracketed().into_iter().collect()
        }
    };
    let mut listed = Vec::new();
    let mut kept = Vec::new();
    for item in items {
        let text = match &item {
            EventItem::Type(ty) => quote::quote!(#ty).to_string(),
            EventItem::Name(name) => {
                if errors.ok(check_name(name, refuse_event_name)).is_none() {
                    continue;
                }
                format!("{:?}", name.value())
            }
        };
        if listed.contains(&text) {
            errors.at(&item, format!("`{text}` is listed twice\nhelp: remove one of the two"));
        } else {
            listed.push(text);
            kept.push(item);
        }
    }
    EventList { key: Some(option.ident.clone()), items: kept }
}

impl quote::ToTokens for EventItem {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Type(ty) => ty.to_tokens(tokens),
            Self::Name(name) => name.to_tokens(tokens),
        }
    }
}

/// `fixed("10s")`, `exponential("1s")` or `exponential("1s", max = "5m")`.
fn backoff(option: &Opt) -> syn::Result<Backoff> {
    let help = "`backoff` is `fixed(\"10s\")` or `exponential(\"1s\", max = \"5m\")`";
    let general = || syn::Error::new_spanned(&option.value, help);
    let parse = |input: ParseStream<'_>| {
        let kind: Ident = input.parse()?;
        let inner;
        syn::parenthesized!(inner in input);
        let base: syn::Expr = inner.parse()?;
        let mut max = None;
        if inner.parse::<Option<syn::Token![,]>>()?.is_some() && !inner.is_empty() {
            let key: Ident = inner.parse()?;
            inner.parse::<syn::Token![=]>()?;
            max = Some((key, inner.parse::<syn::Expr>()?));
            inner.parse::<Option<syn::Token![,]>>()?;
        }
        if inner.is_empty() && input.is_empty() { Ok((kind, base, max)) } else { Err(input.error(help)) }
    };
    let (kind, base, max) = parse.parse2(option.value.clone()).map_err(|_| general())?;
    let base_ms = duration_ms(&base, help)?;
    match (kind.to_string().as_str(), max) {
        ("fixed", None) => Ok(Backoff::Fixed { delay_ms: base_ms }),
        ("exponential", None) => Ok(Backoff::Exponential { base_ms, max_ms: None }),
        ("exponential", Some((key, max))) if key == "max" => {
            let max_ms = duration_ms(&max, help)?;
            if let (Value::Read(base_ms), Value::Read(max_ms)) = (&base_ms, &max_ms)
                && max_ms < base_ms
            {
                return Err(syn::Error::new_spanned(max, "`max` is shorter than the first delay"));
            }
            Ok(Backoff::Exponential { base_ms, max_ms: Some(max_ms) })
        }
        ("fixed" | "exponential", Some((key, _))) => Err(syn::Error::new_spanned(key, help)),
        _ => Err(syn::Error::new_spanned(kind, help)),
    }
}

fn on_failure(option: &Opt) -> syn::Result<bool> {
    let text = option.text()?;
    match text.value().as_str() {
        "continue" => Ok(true),
        "fail" => Ok(false),
        other => {
            let message = format!(
                "`on_failure` cannot be `{other}`\nhelp: write `\"continue\"` for a run that goes on without this step, or `\"fail\"`"
            );
            Err(syn::Error::new_spanned(text, message))
        }
    }
}

/// The function under `#[worker]`. Its body is not parsed.
pub(crate) struct Function {
    /// All of it, as written.
    pub(crate) tokens: TokenStream,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
}

impl Function {
    /// Reads the signature.
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let all = tokens.clone();
        let parse = |input: ParseStream<'_>| {
            let attrs = input.call(Attribute::parse_outer)?;
            let vis = input.parse()?;
            let sig = input.parse()?;
            input.parse::<TokenStream>()?;
            Ok(Self { tokens: all.clone(), attrs, vis, sig })
        };
        parse.parse2(tokens)
    }

    /// The name of the function, without `r#`.
    pub(crate) fn name(&self) -> String {
        plain(&self.sig.ident)
    }

    /// Where its name stands.
    pub(crate) fn span(&self) -> Span {
        self.sig.ident.span()
    }

    /// The types of its parameters.
    pub(crate) fn parameters(&self) -> Vec<&Type> {
        let parameters = self.sig.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(parameter) => Some(&*parameter.ty),
            syn::FnArg::Receiver(_) => None,
        });
        parameters.collect()
    }

    /// The type that it returns, as far as it can be written again.
    pub(crate) fn returned(&self) -> TokenStream {
        match &self.sig.output {
            syn::ReturnType::Default => quote::quote_spanned!(self.span()=> ()),
            syn::ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => {
                quote::quote_spanned!(ty.span()=> _)
            }
            syn::ReturnType::Type(_, ty) => quote::quote!(#ty),
        }
    }
}
