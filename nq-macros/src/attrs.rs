//! The attributes that the walk over modules reads: `#[worker]`, `#[cfg]`, `#[path]`, each also inside `#[cfg_attr]`.

use proc_macro2::{TokenStream, TokenTree};

use crate::uses::{Names, is_punct};

/// An attribute that matters to the walk.
pub(crate) struct Attr {
    /// The conditions of the `cfg_attr`s around it.
    pub(crate) when: Vec<TokenStream>,
    pub(crate) what: What,
}

/// Which attribute it is.
pub(crate) enum What {
    Worker,
    Cfg(TokenStream),
    Path(String),
    /// The line that a function stands in, noted by [`skim`](crate::skim).
    Line(u32),
}

/// Reads the inside of `#[…]`.
pub(crate) fn read(attr: TokenStream, when: &[TokenStream], names: &Names, list: &mut Vec<Attr>) {
    let tokens: Vec<_> = attr.into_iter().collect();
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            _ => break,
        }
        at += 1;
    }
    let mut push = |what| list.push(Attr { when: when.to_vec(), what });
    match (path.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), tokens.get(at)) {
        (["cfg"], Some(TokenTree::Group(group))) => push(What::Cfg(group.stream())),
        (["path"], Some(equals)) if is_punct(equals, '=') => {
            if let Some(TokenTree::Literal(literal)) = tokens.get(at + 1)
                && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
            {
                push(What::Path(text.value()));
            }
        }
        ([crate::skim::LINE], Some(equals)) if is_punct(equals, '=') => {
            if let Some(Ok(line)) = tokens.get(at + 1).map(|line| line.to_string().parse()) {
                push(What::Line(line));
            }
        }
        (["cfg_attr"], Some(TokenTree::Group(group))) => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            let mut parts = inner.split(|token| is_punct(token, ','));
            let Some(condition) = parts.next() else { return };
            let mut when = when.to_vec();
            when.push(condition.iter().cloned().collect());
            for part in parts.filter(|part| !part.is_empty()) {
                read(part.iter().cloned().collect(), &when, names, list);
            }
        }
        _ if names.is_worker(&path) => push(What::Worker),
        _ => {}
    }
}
