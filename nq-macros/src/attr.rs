//! The options of an attribute: `key = value, …`, compared with a table of known options.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Expr, Lit, LitStr, Token, Type};

use crate::duration::parse_ms;
use crate::errors::Errors;
use crate::names::{nearest, plain};

/// One option as written.
pub(crate) struct Opt {
    /// The key, or the key that was probably meant, where the written one is unknown.
    pub(crate) key: String,
    /// The key as written.
    pub(crate) ident: Ident,
    /// What follows the `=`.
    pub(crate) value: TokenStream,
}

/// Splits an attribute into options that are in the table, each at most once.
pub(crate) fn options(attr: TokenStream, table: &[&'static str], errors: &mut Errors) -> Vec<Opt> {
    let mut options: Vec<Opt> = Vec::new();
    for part in split(attr) {
        let Some(mut option) = option(part, table, errors) else { continue };
        if !table.contains(&option.key.as_str()) {
            let meant = nearest(&option.key, table.iter().copied());
            let help = meant.map(|meant| format!("\nhelp: did you mean `{meant}`?")).unwrap_or_default();
            let known = list(table);
            errors.at(
                &option.ident,
                format!("unknown option `{}`{help}\nnote: options are {known}", option.key),
            );
            let Some(meant) = meant else {
                // An unknown option with a list may be one of the lists of events.
                errors.wiring |= option.is_bracketed();
                continue;
            };
            meant.clone_into(&mut option.key);
            // The option that was probably meant is used, so that nothing else looks wrong, unless it is set already.
            if options.iter().any(|known| known.key == option.key) {
                continue;
            }
        }
        if options.iter().any(|known| known.key == option.key) {
            let key = &option.key;
            errors.at(&option.ident, format!("`{key}` is set twice\nhelp: remove one of the two"));
            continue;
        }
        options.push(option);
    }
    options
}

/// `` `a`, `b`, `c` ``.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The parts between commas.
fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            _ => parts.last_mut().into_iter().for_each(|part| part.extend([token.clone()])),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn option(part: TokenStream, table: &[&'static str], errors: &mut Errors) -> Option<Opt> {
    let parse = |input: ParseStream<'_>| {
        let ident = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        let equals: Option<Token![=]> = input.parse()?;
        Ok((ident, equals.is_some(), input.parse::<TokenStream>()?))
    };
    let shown = part.clone();
    match parse.parse2(part) {
        Ok((ident, true, value)) if !value.is_empty() => Some(Opt { key: plain(&ident), ident, value }),
        Ok((ident, _, _)) => {
            errors.wiring = true;
            let key = plain(&ident);
            if table.contains(&key.as_str()) {
                errors.at(&ident, format!("option `{key}` has no value\nhelp: write `{key} = …`"));
                None
            } else {
                // The unknown name is the mistake to report, not the missing value.
                Some(Opt { key, ident, value: TokenStream::new() })
            }
        }
        Err(_) => {
            errors.wiring = true;
            let known = list(table);
            errors.at(shown, format!("expected an option: `name = value`\nnote: options are {known}"));
            None
        }
    }
}

/// A value that the proof does not need: a literal that is read here, or a constant of the program.
pub(crate) enum Value<T> {
    Read(T),
    Constant(Box<Expr>),
}

/// An event in a list: a type, or the name of an untyped one.
pub(crate) enum EventItem {
    Type(Box<Type>),
    Name(LitStr),
}

impl Parse for EventItem {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(LitStr) {
            return input.parse().map(Self::Name);
        }
        let at = input.cursor().token_stream().into_iter().next();
        input.parse().map(|ty| Self::Type(Box::new(ty))).map_err(|error| {
            let message = "expected an event\nhelp: name its type, or an untyped event by a string";
            at.map_or(error, |at| syn::Error::new_spanned(at, message))
        })
    }
}

impl Opt {
    fn fail<T>(&self, message: &str) -> syn::Result<T> {
        Err(syn::Error::new_spanned(&self.value, message))
    }

    fn parse<T: Parse>(&self, message: &str) -> syn::Result<T> {
        syn::parse2(self.value.clone()).or_else(|_| self.fail(message))
    }

    /// A string.
    pub(crate) fn text(&self) -> syn::Result<LitStr> {
        let key = &self.key;
        let is_constant = syn::parse2::<syn::Path>(self.value.clone()).is_ok_and(|path| {
            let name = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
            !name.chars().any(char::is_lowercase)
        });
        let note = "\nnote: it is a part of the proof, so it is written here; a constant cannot stand for it";
        let note = if is_constant { note } else { "" };
        self.parse(&format!("`{key}` is a string\nhelp: write `{key} = \"…\"`{note}"))
    }

    /// A string that `refuse` lets pass.
    pub(crate) fn name(&self, refuse: fn(&str) -> Option<String>) -> syn::Result<LitStr> {
        let text = self.text()?;
        check_name(&text, refuse)?;
        Ok(text)
    }

    /// An identifier.
    pub(crate) fn ident(&self) -> syn::Result<Ident> {
        let key = &self.key;
        self.parse(&format!("`{key}` is the name of a type\nhelp: write `{key} = Name`"))
    }

    /// A path.
    pub(crate) fn path(&self) -> syn::Result<syn::Path> {
        let parse = syn::Path::parse_mod_style;
        let message = "`crate` is the path of nq\nhelp: write `crate = nq` or `crate = my_crate::nq`";
        parse.parse2(self.value.clone()).or_else(|_| self.fail(message))
    }

    /// A whole number that is at least `least`, or a constant.
    pub(crate) fn number(&self, least: u32) -> syn::Result<Value<u32>> {
        let key = &self.key;
        let message =
            format!("`{key}` is a whole number of at least {least}\nhelp: write `{key} = {}`", least.max(5));
        match self.parse(&message)? {
            Expr::Lit(syn::ExprLit { lit: Lit::Int(literal), .. }) => {
                let number = literal.base10_parse::<u32>().ok().filter(|number| *number >= least);
                number.map_or_else(|| self.fail(&message), |number| Ok(Value::Read(number)))
            }
            Expr::Lit(_)
            | Expr::Array(_)
            | Expr::Tuple(_)
            | Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), .. }) => self.fail(&message),
            constant => Ok(Value::Constant(Box::new(constant))),
        }
    }

    /// A duration in milliseconds, or a constant.
    pub(crate) fn duration_ms(&self) -> syn::Result<Value<u64>> {
        let key = &self.key;
        let message =
            format!("`{key}` is a duration\nhelp: write `{key} = \"30s\"`, or name a constant `Duration`");
        duration_ms(&self.parse(&message)?, &message)
    }

    /// The items of a list in brackets.
    pub(crate) fn list<T: Parse>(&self, example: &str) -> syn::Result<Vec<T>> {
        let parse = |input: ParseStream<'_>| {
            let inner;
            syn::bracketed!(inner in input);
            let items = inner.parse_terminated(T::parse, Token![,])?;
            if input.is_empty() { Ok(items) } else { Err(input.error("unexpected token")) }
        };
        let key = &self.key;
        let message = format!("`{key}` is a list\nhelp: write `{key} = [{example}]`");
        let items = match parse.parse2(self.value.clone()) {
            Ok(items) => items,
            // If only the brackets are wrong, rustc's own text about the token would mislead.
            Err(error) if self.is_bracketed() => return Err(error),
            Err(_) => return self.fail(&message),
        };
        if items.is_empty() {
            return self.fail(&format!("`{key}` is empty\nhelp: name something in it, or remove it"));
        }
        Ok(items.into_iter().collect())
    }

    /// The one item of a list whose brackets were forgotten, so that the checks can go on.
    pub(crate) fn unbracketed<T: Parse>(&self) -> Option<T> {
        syn::parse2(self.value.clone()).ok()
    }

    fn is_bracketed(&self) -> bool {
        let first = self.value.clone().into_iter().next();
        matches!(first, Some(TokenTree::Group(group)) if group.delimiter() == proc_macro2::Delimiter::Bracket)
    }
}

/// Refuses a name that stores cannot hold.
pub(crate) fn check_name(text: &LitStr, refuse: fn(&str) -> Option<String>) -> syn::Result<()> {
    let why = refuse(&text.value());
    why.map_or(Ok(()), |why| Err(syn::Error::new_spanned(text, format!("the name {why}"))))
}

/// The milliseconds of a literal, or the constant. Anything else is refused with `message`.
pub(crate) fn duration_ms(value: &Expr, message: &str) -> syn::Result<Value<u64>> {
    let literal = match value {
        Expr::Lit(syn::ExprLit { lit: Lit::Str(literal), .. }) => literal,
        Expr::Path(_)
        | Expr::Call(_)
        | Expr::MethodCall(_)
        | Expr::Binary(_)
        | Expr::Block(_)
        | Expr::Macro(_) => {
            return Ok(Value::Constant(Box::new(value.clone())));
        }
        other => return Err(syn::Error::new_spanned(other, message)),
    };
    let text = literal.value();
    parse_ms(&text).map(Value::Read).map_err(|why| {
        let message = format!(
            "`{text}` is not a duration: {why}\nhelp: write a number and `ms`, `s`, `m`, `h` or `d`: `\"30s\"`, `\"1h30m\"`"
        );
        syn::Error::new_spanned(literal, message)
    })
}
