//! The walk over a crate's modules, in search of workers.
//!
//! It matches token trees and steps over bodies, so it is fast on a crate of any size, and accepts syntax that is newer
//! than itself.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::quote;

use crate::attrs::{Attr, What};
use crate::skim::skim;
use crate::uses::{Names, is_punct};

/// Deeper nesting is a circle of `#[path]`s, which rustc reports.
const DEEPEST: usize = 64;

/// A worker that the walk has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// What `#[cfg(…)]`s it stands under.
    pub(crate) cfgs: Vec<TokenStream>,
    /// The file and the line that it stands in.
    pub(crate) place: (PathBuf, u32),
    /// Its name as written.
    pub(crate) function: Ident,
}

/// Reads a file, if it is there.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Finds the workers of the crate with this root file.
pub(crate) fn scan(root: &Path, nq: &[&str], read: Read<'_>) -> Vec<Found> {
    let mut walk = Walk { read, found: Vec::new() };
    let directory = root.parent().unwrap_or(Path::new("")).to_owned();
    let here = Module {
        children: directory.clone(),
        beside: directory,
        file: PathBuf::new(),
        depth: 0,
        cfgs: Vec::new(),
    };
    walk.file(root, &here, &Names::of_crate(nq));
    walk.found
}

struct Walk<'a> {
    read: Read<'a>,
    found: Vec<Found>,
}

/// Where the walk is.
#[derive(Clone)]
struct Module {
    /// Where `mod x;` is looked for.
    children: PathBuf,
    /// What `#[path]` is relative to.
    beside: PathBuf,
    /// The file that is being read.
    file: PathBuf,
    depth: usize,
    cfgs: Vec<TokenStream>,
}

impl Module {
    fn enter(&self, cfgs: Vec<TokenStream>) -> Self {
        let mut inner = self.clone();
        inner.depth += 1;
        inner.cfgs.extend(cfgs);
        inner
    }
}

impl Walk<'_> {
    /// Whether the file is there.
    fn file(&mut self, file: &Path, here: &Module, names: &Names) -> bool {
        if here.depth > DEEPEST {
            return true;
        }
        let Some(source) = (self.read)(file) else { return false };
        let source = source.strip_prefix('\u{feff}').unwrap_or(&source);
        let shebang = source.starts_with("#!") && !source[2..].trim_start().starts_with('[');
        // The line end of a shebang stays, so that lines are counted as rustc counts them.
        let source = if shebang { &source[source.find('\n').unwrap_or(source.len())..] } else { source };
        // rustc reports a file that does not lex.
        if let Ok(tokens) = skim(source).parse::<TokenStream>() {
            let tokens: Vec<_> = tokens.into_iter().collect();
            let names = names.in_file(&tokens);
            self.items(&tokens, Module { file: file.to_owned(), ..here.clone() }, &names);
        }
        true
    }

    fn items(&mut self, tokens: &[TokenTree], mut here: Module, names: &Names) {
        let mut attrs: Vec<Attr> = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let inner = tokens.get(at + 1).is_some_and(|token| is_punct(token, '!'));
                    at += usize::from(inner) + 1;
                    if let Some(TokenTree::Group(group)) = tokens.get(at) {
                        let list = if inner { &mut Vec::new() } else { &mut attrs };
                        crate::attrs::read(group.stream(), &[], names, list);
                        if inner {
                            here.cfgs.extend(cfgs(list));
                        }
                    }
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        let body = tokens.get(at + 2);
                        self.module(name, body, &std::mem::take(&mut attrs), &here, names);
                        at += 2;
                    }
                }
                TokenTree::Ident(word) if word == "fn" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        self.function(name, &std::mem::take(&mut attrs), &here);
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => attrs.clear(),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => attrs.clear(),
                _ => {}
            }
            at += 1;
        }
    }

    fn function(&mut self, name: &Ident, attrs: &[Attr], here: &Module) {
        for attr in attrs.iter().filter(|attr| matches!(attr.what, What::Worker)) {
            let mut all = here.cfgs.clone();
            all.extend(cfgs(attrs));
            all.extend(attr.when.clone());
            let line = attrs
                .iter()
                .find_map(|attr| if let What::Line(line) = attr.what { Some(line) } else { None });
            let place = (here.file.clone(), line.unwrap_or_default());
            self.found.push(Found { cfgs: all, place, function: name.clone() });
        }
    }

    fn module(
        &mut self,
        name: &Ident,
        body: Option<&TokenTree>,
        attrs: &[Attr],
        here: &Module,
        names: &Names,
    ) {
        let plain = crate::names::plain(name);
        // `#[path]` may depend on the configuration. Each path is followed under its condition, and the usual place under
        // the condition that none of the others holds.
        let mut elsewhere = Vec::new();
        let mut places = Vec::new();
        for attr in attrs {
            if let What::Path(path) = &attr.what {
                let when = attr.when.clone();
                elsewhere.push(quote!(all(#(#when),*)));
                places.push((Some(here.beside.join(path)), when));
            }
        }
        if places.iter().all(|(_, when)| !when.is_empty()) {
            let otherwise =
                if elsewhere.is_empty() { Vec::new() } else { vec![quote!(not(any(#(#elsewhere),*)))] };
            places.push((None, otherwise));
        }
        for (path, when) in places {
            let mut all = cfgs(attrs);
            all.extend(when);
            let mut inner = here.enter(all);
            match body {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let directory = path.unwrap_or_else(|| here.children.join(&plain));
                    inner.children.clone_from(&directory);
                    inner.beside = directory;
                    let tokens: Vec<_> = group.stream().into_iter().collect();
                    self.items(&tokens, inner, names);
                }
                _ => self.module_file(&plain, path, inner, here, names),
            }
        }
    }

    fn module_file(
        &mut self,
        name: &str,
        path: Option<PathBuf>,
        mut inner: Module,
        here: &Module,
        names: &Names,
    ) {
        if let Some(file) = path {
            // Such a file owns its folder, like `mod.rs`.
            let directory = file.parent().unwrap_or(Path::new("")).to_owned();
            inner.children.clone_from(&directory);
            inner.beside = directory;
            self.file(&file, &inner, names);
            return;
        }
        inner.children = here.children.join(name);
        inner.beside.clone_from(&here.children);
        if !self.file(&here.children.join(format!("{name}.rs")), &inner, names) {
            inner.beside.clone_from(&inner.children);
            self.file(&inner.children.join("mod.rs"), &inner, names);
        }
    }
}

fn cfgs(attrs: &[Attr]) -> Vec<TokenStream> {
    let of = |attr: &Attr| match &attr.what {
        What::Cfg(cfg) if attr.when.is_empty() => Some(cfg.clone()),
        What::Cfg(cfg) => {
            let when = &attr.when;
            Some(quote!(any(not(all(#(#when),*)), #cfg)))
        }
        _ => None,
    };
    attrs.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
