//! Which names in a file mean nq and its `worker`, read from its `use` declarations.

use proc_macro2::{Delimiter, TokenTree};

/// The names of nq, and of `nq::worker`, in a file.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    crates: Vec<String>,
    workers: Vec<String>,
}

impl Names {
    /// The names before any import: only the names of the crate itself.
    pub(crate) fn of_crate(names: &[&str]) -> Self {
        Self { crates: names.iter().map(|name| (*name).to_owned()).collect(), workers: Vec::new() }
    }

    /// Whether this path, in an attribute, is `nq::worker`.
    pub(crate) fn is_worker(&self, path: &[String]) -> bool {
        match path {
            [only] => self.workers.contains(only),
            [.., parent, last] => last == "worker" && self.crates.contains(parent),
            [] => false,
        }
    }

    /// The names in a file that is a child of one with the names of `self`.
    pub(crate) fn in_file(&self, tokens: &[TokenTree]) -> Self {
        let mut imports = Vec::new();
        collect(tokens, &mut imports);
        let inherits = imports.iter().any(|import| import.is_glob && import.path == ["super"]);
        let mut names =
            if inherits { self.clone() } else { Self { crates: self.crates.clone(), workers: Vec::new() } };
        // An alias of the crate may be used by an import above it.
        for _ in 0..2 {
            for import in &imports {
                names.add(import);
            }
        }
        names
    }

    fn add(&mut self, import: &Import) {
        let Some(last) = import.path.last() else { return };
        if import.is_glob {
            if self.crates.contains(last) {
                self.workers.push("worker".to_owned());
            }
        } else if self.crates.contains(last) {
            self.crates.push(import.name.clone());
        } else if let [.., parent, last] = import.path.as_slice()
            && last == "worker"
            && self.crates.contains(parent)
        {
            self.workers.push(import.name.clone());
        }
    }
}

/// One name that a `use` declaration brings.
struct Import {
    path: Vec<String>,
    name: String,
    is_glob: bool,
}

/// Finds the imports of a file, also those of its inline modules.
fn collect(tokens: &[TokenTree], imports: &mut Vec<Import>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "use" => {
                let end = tokens[at..].iter().position(|token| is_punct(token, ';'));
                let end = end.map_or(tokens.len(), |end| at + end);
                tree(&tokens[at + 1..end], &mut Vec::new(), imports);
                at = end;
            }
            TokenTree::Ident(word) if word == "mod" => {
                if let Some(TokenTree::Group(body)) = tokens.get(at + 2) {
                    collect(&body.stream().into_iter().collect::<Vec<_>>(), imports);
                }
                at += 2;
            }
            TokenTree::Ident(word) if word == "crate" && is_extern(tokens, at) => {
                // `extern crate nq as jobs;`
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Ident(renamed)), Some(alias)) =
                    (tokens.get(at + 1), tokens.get(at + 2), tokens.get(at + 3))
                    && renamed == "as"
                {
                    let (path, name) = (vec![name.to_string()], alias.to_string());
                    imports.push(Import { path, name, is_glob: false });
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn is_extern(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    matches!(before, Some(TokenTree::Ident(word)) if word == "extern")
}

/// Whether a token is this sign.
pub(crate) fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Reads `a::b::{c as d, e::*}` below `prefix`.
fn tree(tokens: &[TokenTree], prefix: &mut Vec<String>, imports: &mut Vec<Import>) {
    let depth = prefix.len();
    let mut alias = None;
    let mut at = 0;
    let mut complete = true;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "as" => {
                alias = tokens.get(at + 1).map(ToString::to_string);
                at += 1;
            }
            TokenTree::Ident(word) if word == "self" && depth > 0 && at == 0 => {}
            TokenTree::Ident(word) => prefix.push(word.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                imports.push(Import { path: prefix.clone(), name: String::new(), is_glob: true });
                complete = false;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                for part in inner.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty()) {
                    tree(part, prefix, imports);
                }
                complete = false;
            }
            _ => {}
        }
        at += 1;
    }
    if let (true, Some(last)) = (complete, prefix.last()) {
        let name = alias.unwrap_or_else(|| last.clone());
        imports.push(Import { path: prefix.clone(), name, is_glob: false });
    }
    prefix.truncate(depth);
}

#[cfg(test)]
mod tests {
    use super::Names;

    fn check(source: &str, path: &[&str], expected: bool) {
        let tokens: Vec<_> = source.parse::<proc_macro2::TokenStream>().unwrap().into_iter().collect();
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        assert_eq!(Names::of_crate(&["nq"]).in_file(&tokens).is_worker(&path), expected, "{source}");
    }

    #[test]
    fn workers_are_known_by_what_is_imported() {
        check("", &["nq", "worker"], true);
        check("", &["worker"], false);
        check("use nq::worker;", &["worker"], true);
        check("use ::nq::worker;", &["worker"], true);
        check("pub(crate) use nq::worker as job;", &["job"], true);
        check("use nq::worker as job;", &["worker"], false);
        check("use nq::{event, prelude::*, worker};", &["worker"], true);
        check("use {std::fmt, nq::{self as q}};", &["q", "worker"], true);
        check("use nq as q;", &["q", "worker"], true);
        check("use q::worker; use nq as q;", &["worker"], true);
        check("extern crate nq as q;", &["q", "worker"], true);
        check("use nq::*;", &["worker"], true);
        check("mod inner { use nq::worker; }", &["worker"], true);
        check("use apalis::worker;", &["worker"], false);
        check("use other::nq::worker;", &["worker"], true);
        check("", &["other", "worker"], false);
    }
}
