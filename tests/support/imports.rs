//! Finds which files of a crate import from which. An import is a path into the file's own crate, followed through
//! re-exports to the file that defines the item. Code of tests is left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path of a module or an item: its names from the root of the crate.
type Place = Vec<String>;

/// The imports between the files of a crate.
pub(crate) struct Imports {
    /// For each file, the files that it imports from, each with a path by which it does.
    of: BTreeMap<String, BTreeMap<String, String>>,
}

/// The contents of a module: that of a file, or one inside of a file.
#[derive(Default)]
struct Module {
    file: String,
    /// The names that it defines or re-exports, each with the path that it stands for.
    uses: Vec<Use>,
    /// The paths that its code names.
    paths: Vec<Place>,
    /// The names that its items have.
    items: BTreeSet<String>,
    /// Every name in its code, outside of `use`.
    names: BTreeSet<String>,
}

struct Use {
    /// Its name in this module; none for `*`.
    name: Option<String>,
    path: Place,
    /// Whether other modules may import it from here.
    public: bool,
}

impl Imports {
    /// The imports between these files of a crate, which are named from the folder of its root.
    pub(crate) fn of(files: &[(String, String)]) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
            read(&mut modules, place_of(file), file, tokens);
        }
        let mut of = BTreeMap::new();
        for (place, module) in &modules {
            let imports: &mut BTreeMap<_, _> = of.entry(module.file.clone()).or_default();
            for path in module.imported(place, &modules) {
                let written = path.join("::");
                if let Some(file) = definer(&modules, path, 0).filter(|file| *file != module.file) {
                    imports.entry(file).or_insert(written);
                }
            }
        }
        Self { of }
    }

    /// The shortest circle through each file that is on one, each circle once.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let mut circles: Vec<Vec<&str>> = Vec::new();
        for file in self.of.keys() {
            if circles.iter().any(|circle| circle.contains(&file.as_str())) {
                continue;
            }
            circles.extend(self.way_back(file));
        }
        circles
    }

    /// Describes a circle: which file imports what from the next.
    pub(crate) fn say(&self, circle: &[&str]) -> String {
        let next = circle.iter().cycle().skip(1);
        let steps = circle.iter().zip(next);
        let steps = steps.map(|(from, to)| format!("{from} imports {} from {to}", self.of[*from][*to]));
        steps.collect::<Vec<_>>().join("; ")
    }

    /// The shortest way from a file by imports back to it.
    fn way_back<'a>(&'a self, file: &'a str) -> Option<Vec<&'a str>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = VecDeque::from([file]);
        while let Some(at) = next.pop_front() {
            for to in self.of.get(at).into_iter().flat_map(BTreeMap::keys) {
                if to == file {
                    let mut way: Vec<_> =
                        std::iter::successors(Some(at), |at| before.get(at).copied()).collect();
                    way.reverse();
                    return Some(way);
                }
                if !before.contains_key(to.as_str()) {
                    before.insert(to, at);
                    next.push_back(to);
                }
            }
        }
        None
    }
}

/// The module that a file is.
fn place_of(file: &str) -> Place {
    let mut place: Place = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if place.last().is_some_and(|name| ["lib", "main", "mod"].contains(&name.as_str())) {
        place.pop();
    }
    place
}

/// Reads a module, and those that stand inside of it.
fn read(modules: &mut BTreeMap<Place, Module>, place: Place, file: &str, tokens: TokenStream) {
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    let mut inner = Vec::new();
    module.read(tokens, &mut inner);
    for (name, tokens) in inner {
        read(modules, [place.as_slice(), &[name]].concat(), file, tokens);
    }
    modules.insert(place, module);
}

impl Module {
    /// Reads code. The modules that stand in it are `inner`.
    fn read(&mut self, tokens: TokenStream, inner: &mut Vec<(String, TokenStream)>) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        let mut public = false;
        while at < tokens.len() {
            let word = word(&tokens[at]);
            match word.as_deref() {
                _ if is_test(&tokens[at..]) => at = end_of_item(&tokens, at),
                Some("use") => {
                    let end = (at..tokens.len()).find(|end| is(&tokens[*end], ';')).unwrap_or(tokens.len());
                    self.read_use(&tokens[at + 1..end], &[], public);
                    at = end;
                }
                Some("mod")
                    if let [TokenTree::Ident(name), TokenTree::Group(group), ..] = &tokens[at + 1..] =>
                {
                    inner.push((name.to_string(), group.stream()));
                    at += 2;
                }
                // What a macro writes stands in another crate.
                Some("quote" | "quote_spanned") if tokens.get(at + 1).is_some_and(|sign| is(sign, '!')) => {
                    at += 2;
                }
                Some(_) => {
                    self.read_name(&tokens[..at], path(&tokens[at..]));
                }
                None => {
                    if let TokenTree::Group(group) = &tokens[at]
                        && !(public && group.delimiter() == Delimiter::Parenthesis)
                    {
                        self.read(group.stream(), inner);
                    }
                }
            }
            let in_public = |token: &TokenTree| {
                self::word(token).as_deref() == Some("pub")
                    || (public
                        && matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis))
            };
            public = tokens.get(at).is_some_and(in_public);
            at += 1;
        }
    }

    /// Reads a name in code, with the path that begins at it. `before` is the token in front of the name.
    fn read_name(&mut self, before: &[TokenTree], path: Place) {
        const KINDS: [&str; 7] = ["const", "enum", "fn", "static", "struct", "trait", "type"];
        let name = path.first().cloned();
        match before {
            // `a::b` begins at `a`, and `$crate` is the crate of whoever calls the macro.
            [.., first, second] if is(first, ':') && is(second, ':') => {}
            [.., dollar] if is(dollar, '$') => {}
            [.., kind] if word(kind).is_some_and(|kind| KINDS.contains(&kind.as_str())) => {
                self.items.extend(name);
            }
            _ => {
                self.names.extend(name);
                self.paths.extend(Some(path).filter(|path| path.len() > 1));
            }
        }
    }

    /// Reads what follows `use`, inside of these names.
    fn read_use(&mut self, tokens: &[TokenTree], inside: &[String], public: bool) {
        for tree in tokens.split(|token| is(token, ',')) {
            let words: Vec<_> = tree.iter().filter_map(word).collect();
            let (words, renamed) = match words.iter().position(|word| word == "as") {
                Some(at) => (&words[..at], words.get(at + 1).cloned()),
                None => (&words[..], None),
            };
            let mut path = [inside, words].concat();
            if let Some(TokenTree::Group(group)) = tree.last() {
                let inner: Vec<_> = group.stream().into_iter().collect();
                self.read_use(&inner, &path, public);
                continue;
            }
            if tree.is_empty() {
                continue;
            }
            let glob = tree.last().is_some_and(|last| is(last, '*'));
            if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                path.pop();
            }
            let name = if glob { None } else { renamed.or_else(|| path.last().cloned()) };
            self.uses.push(Use { name, path, public });
        }
    }

    /// The paths into its own crate that it needs. A path that it only re-exports is not among them.
    fn imported(&self, place: &[String], modules: &BTreeMap<Place, Module>) -> Vec<Place> {
        let passes_on =
            |found: &&Use| found.public && found.name.as_ref().is_none_or(|name| !self.names.contains(name));
        let uses = self.uses.iter().filter(|found| !passes_on(found)).map(|found| &found.path);
        let places = uses.chain(&self.paths).filter_map(|path| self.absolute(place, path, modules));
        // A module that is imported as a whole counts for the items that are named through it.
        places.filter(|place| !modules.contains_key(place)).collect()
    }

    /// The absolute path of a path in this module; none if it leads out of the crate.
    fn absolute(
        &self,
        place: &[String],
        path: &[String],
        modules: &BTreeMap<Place, Module>,
    ) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let ups = path.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match first.as_str() {
            "crate" => (Vec::new(), rest),
            "self" => (place.to_vec(), rest),
            "super" => (place[..place.len().checked_sub(ups)?].to_vec(), &path[ups..]),
            name => {
                let child = [place, &[name.to_owned()]].concat();
                let used = self.uses.iter().find(|found| found.name.as_deref() == Some(name));
                match used {
                    _ if modules.contains_key(&child) => (child, rest),
                    Some(found) if found.path.first()? != name => {
                        (self.absolute(place, &found.path, modules)?, rest)
                    }
                    _ => return None,
                }
            }
        };
        Some([&base[..], rest].concat())
    }
}

/// The file that defines the item of a path.
fn definer(modules: &BTreeMap<Place, Module>, place: Place, depth: usize) -> Option<String> {
    let known = (0..=place.len()).rev().find(|length| modules.contains_key(&place[..*length]))?;
    let (at, rest) = place.split_at(known);
    let module = &modules[at];
    let Some(name) = rest.first().filter(|_| depth < 8) else { return Some(module.file.clone()) };
    let follow = |found: &Use| {
        let to = module.absolute(at, &found.path, modules)?;
        Some([&to[..], &rest[usize::from(found.name.is_some())..]].concat())
    };
    let named = module.uses.iter().filter(|found| found.name.as_ref() == Some(name)).find_map(follow);
    if let Some(to) = named {
        return definer(modules, to, depth + 1);
    }
    let mut globs =
        module.uses.iter().filter(|found| found.public && found.name.is_none()).filter_map(follow);
    let in_glob = globs.find(|to| {
        let (name, module) = to.split_last().expect("a name follows");
        modules.get(module).is_some_and(|module| module.items.contains(name))
    });
    if module.items.contains(name) {
        Some(module.file.clone())
    } else {
        in_glob.map_or_else(|| Some(module.file.clone()), |to| definer(modules, to, depth + 1))
    }
}

/// The path that begins here.
fn path(tokens: &[TokenTree]) -> Place {
    let mut path: Place = word(&tokens[0]).into_iter().collect();
    let mut rest = &tokens[1..];
    while let [first, second, third, ..] = rest
        && is(first, ':')
        && is(second, ':')
        && let Some(name) = word(third)
    {
        path.push(name);
        rest = &rest[3..];
    }
    path
}

fn word(token: &TokenTree) -> Option<String> {
    if let TokenTree::Ident(ident) = token { Some(ident.to_string()) } else { None }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Whether an item of tests begins here.
fn is_test(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return false };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    is(hash, '#') && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// The last token of the item whose attribute begins here.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| {
        is(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    (at..tokens.len()).find(|at| ends(&tokens[*at])).unwrap_or(tokens.len() - 1)
}
