//! The fields of a payload: their names in JSON, as serde's attributes have them, and the types that must be parts
//! of an event.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Field, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Token, Type};

use crate::names::plain;

/// The name of a field in JSON.
pub(crate) struct Name {
    text: String,
    /// What `#[cfg(…)]`s it stands under.
    cfgs: Vec<Attribute>,
}

impl Name {
    /// As the item of a list.
    pub(crate) fn listed(&self) -> TokenStream {
        let (text, cfgs) = (&self.text, &self.cfgs);
        quote!(#(#cfgs)* #text)
    }
}

/// What serde's attributes say about one type, variant or field, as far as it concerns what is written.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<Case>,
    rename_all_fields: Option<Case>,
    tag: Option<String>,
    content: Option<String>,
    untagged: bool,
    skipped: bool,
    /// Whether its fields come from another type, or an attribute is not understood here.
    opaque: bool,
}

impl Serde {
    fn of(attrs: &[Attribute]) -> Self {
        let mut this = Self::default();
        for attr in attrs {
            if attr.path().is_ident("serde") {
                match attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
                    Ok(metas) => metas.iter().for_each(|meta| this.read(meta)),
                    Err(_) => this.opaque = true,
                }
            } else if attr.path().is_ident("cfg_attr") {
                // Which attributes serde gets depends on the build.
                this.opaque |= attr.meta.to_token_stream().to_string().contains("serde");
            }
        }
        this
    }

    fn read(&mut self, meta: &Meta) {
        let Some(key) = meta.path().get_ident().map(ToString::to_string) else { return };
        match key.as_str() {
            "rename" => self.rename = self.written(meta),
            "rename_all" => self.rename_all = self.case(meta),
            "rename_all_fields" => self.rename_all_fields = self.case(meta),
            "tag" => self.tag = self.written(meta),
            "content" => self.content = self.written(meta),
            "untagged" => self.untagged = true,
            "skip" | "skip_serializing" => self.skipped = true,
            "flatten" | "transparent" | "into" | "remote" => self.opaque = true,
            _ => {}
        }
    }

    fn case(&mut self, meta: &Meta) -> Option<Case> {
        let case = Case::of(&self.written(meta)?);
        self.opaque |= case.is_none();
        case
    }

    /// The text of `key = "…"`, or of `key(serialize = "…")`.
    fn written(&mut self, meta: &Meta) -> Option<String> {
        match meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => return Some(text.value()),
                _ => self.opaque = true,
            },
            Meta::List(list) => match list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
                Ok(metas) => {
                    let both = metas.iter().find(|meta| meta.path().is_ident("serialize"));
                    return both.and_then(|meta| self.written(meta));
                }
                Err(_) => self.opaque = true,
            },
            Meta::Path(_) => self.opaque = true,
        }
        None
    }
}

/// All field names that a payload of this type may have; none if they are not known.
pub(crate) fn names(item: &Item) -> Option<Vec<Name>> {
    match item {
        Item::Struct(item) => {
            let serde = Serde::of(&item.attrs);
            let mut names = tag(&serde);
            names.extend(is_understood(&serde).then(|| of_fields(&item.fields, serde.rename_all))??);
            Some(names)
        }
        Item::Enum(item) => {
            let serde = Serde::of(&item.attrs);
            is_understood(&serde).then(|| of_variants(item, &serde))?
        }
        _ => None,
    }
}

fn is_understood(serde: &Serde) -> bool {
    !serde.opaque
}

fn tag(serde: &Serde) -> Vec<Name> {
    let names = [&serde.tag, &serde.content].into_iter().flatten();
    names.map(|text| Name { text: text.clone(), cfgs: Vec::new() }).collect()
}

fn of_variants(item: &syn::ItemEnum, serde: &Serde) -> Option<Vec<Name>> {
    let mut names = tag(serde);
    for variant in &item.variants {
        let own = Serde::of(&variant.attrs);
        if own.opaque || own.untagged {
            return None;
        }
        if own.skipped {
            continue;
        }
        let cfgs = cfgs(&variant.attrs);
        if serde.tag.is_none() && !serde.untagged {
            let plain = plain(&variant.ident);
            let text = own.rename.unwrap_or_else(|| Case::variant(serde.rename_all, &plain));
            names.push(Name { text, cfgs });
        } else if serde.content.is_none() {
            let fields = of_fields(&variant.fields, own.rename_all.or(serde.rename_all_fields))?;
            for mut name in fields {
                name.cfgs.extend(cfgs.iter().cloned());
                // Two variants may have a field of one name, and each may be left out of the build.
                if name.cfgs.is_empty() && names.iter().any(|known: &Name| known.text == name.text) {
                    continue;
                }
                names.push(name);
            }
        }
    }
    Some(names)
}

fn of_fields(fields: &Fields, case: Option<Case>) -> Option<Vec<Name>> {
    match fields {
        // serde writes only the inner value.
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => None,
        // `null`, or an array.
        Fields::Unit | Fields::Unnamed(_) => Some(Vec::new()),
        Fields::Named(fields) => {
            let mut names = Vec::new();
            for field in &fields.named {
                let own = Serde::of(&field.attrs);
                if own.opaque {
                    return None;
                }
                if let (false, Some(ident)) = (own.skipped, &field.ident) {
                    let text = own.rename.unwrap_or_else(|| Case::field(case, &plain(ident)));
                    names.push(Name { text, cfgs: cfgs(&field.attrs) });
                }
            }
            Some(names)
        }
    }
}

fn cfgs(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect()
}

/// A rule of `rename_all`.
#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    /// A field's name, which is in snake case.
    fn field(case: Option<Self>, name: &str) -> String {
        let Some(case) = case else { return name.to_owned() };
        let pascal = || {
            let words = name.split('_').map(|word| first(word, char::to_ascii_uppercase));
            words.collect::<String>()
        };
        match case {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(),
            Self::Camel => first(&pascal(), char::to_ascii_lowercase),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// A variant's name, which is in Pascal case.
    fn variant(case: Option<Self>, name: &str) -> String {
        let Some(case) = case else { return name.to_owned() };
        let snake = || {
            let mut snake = String::new();
            for (at, letter) in name.char_indices() {
                if at > 0 && letter.is_uppercase() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            snake
        };
        match case {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => first(name, char::to_ascii_lowercase),
            Self::Snake => snake(),
            Self::ScreamingSnake => snake().to_ascii_uppercase(),
            Self::Kebab => snake().replace('_', "-"),
            Self::ScreamingKebab => snake().to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// The word with its first letter changed.
fn first(word: &str, change: fn(&char) -> char) -> String {
    let mut letters = word.chars();
    letters.next().map(|letter| change(&letter)).into_iter().chain(letters).collect()
}

/// The types that serde and schemars implement their traits for.
const KNOWN: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
    "bool", "char", "str", "String",
];
/// Types that can be parts of an event if their arguments can.
const COLLECTIONS: &[&str] =
    &["Vec", "VecDeque", "Option", "Box", "HashMap", "BTreeMap", "HashSet", "BTreeSet"];

/// The types in the fields of this one that have to be parts of an event, each once.
pub(crate) fn parts(item: &Item) -> Vec<Type> {
    let (attrs, ident, generics, fields): (_, _, _, Vec<&Field>) = match item {
        Item::Struct(item) => (&item.attrs, &item.ident, &item.generics, item.fields.iter().collect()),
        Item::Enum(item) => {
            let fields = item.variants.iter().filter(|variant| is_asked(&variant.attrs));
            let fields = fields.flat_map(|variant| &variant.fields).collect();
            (&item.attrs, &item.ident, &item.generics, fields)
        }
        _ => return Vec::new(),
    };
    if !is_asked(attrs) {
        return Vec::new();
    }
    let parameters = generics.params.iter().map(|parameter| match parameter {
        syn::GenericParam::Type(ty) => ty.ident.to_string(),
        syn::GenericParam::Const(constant) => constant.ident.to_string(),
        syn::GenericParam::Lifetime(lifetime) => lifetime.lifetime.ident.to_string(),
    });
    let mut unknown: Vec<_> = parameters.collect();
    // A type that holds itself is checked already.
    unknown.extend([ident.to_string(), "Self".to_owned()]);
    let mut parts = Vec::new();
    for field in fields.into_iter().filter(|field| is_asked(&field.attrs)) {
        leaves(&field.ty, &mut parts);
    }
    let mut seen = Vec::new();
    parts.retain(|part| {
        let text = part.to_token_stream().to_string();
        let fits = !mentions(part.to_token_stream(), &unknown) && !seen.contains(&text);
        seen.push(text);
        fits
    });
    parts
}

/// Whether serde and schemars write the field by its type, and not as its attributes say.
fn is_asked(attrs: &[Attribute]) -> bool {
    const OTHERWISE: &[&str] = &["with", "serialize_with", "deserialize_with", "schema_with", "getter"];
    const ELSEWHERE: &[&str] = &["into", "from", "try_from", "remote", "bound"];
    attrs.iter().all(|attr| {
        if ["cfg", "cfg_attr"].iter().any(|name| attr.path().is_ident(name)) {
            return false;
        }
        if !["serde", "schemars"].iter().any(|name| attr.path().is_ident(name)) {
            return true;
        }
        let metas = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        let fits = |meta: &Meta| {
            let key = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
            !key.starts_with("skip")
                && !OTHERWISE.contains(&key.as_str())
                && !ELSEWHERE.contains(&key.as_str())
        };
        metas.is_ok_and(|metas| metas.iter().all(fits))
    })
}

/// The types that a type is made of, looking into the collections of the standard library.
fn leaves(ty: &Type, found: &mut Vec<Type>) {
    match ty {
        Type::Array(array) => leaves(&array.elem, found),
        Type::Slice(slice) => leaves(&slice.elem, found),
        Type::Paren(paren) => leaves(&paren.elem, found),
        Type::Group(group) => leaves(&group.elem, found),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| leaves(ty, found)),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return };
            let name = last.ident.to_string();
            match &last.arguments {
                PathArguments::None if KNOWN.contains(&name.as_str()) => {}
                PathArguments::AngleBracketed(arguments) if COLLECTIONS.contains(&name.as_str()) => {
                    for argument in &arguments.args {
                        if let GenericArgument::Type(ty) = argument {
                            leaves(ty, found);
                        }
                    }
                }
                _ => found.push(ty.clone()),
            }
        }
        // Another check refuses types that borrow, and the type of a macro is not known here.
        _ => {}
    }
}

/// Whether tokens have one of these names, or any lifetime.
fn mentions(tokens: TokenStream, names: &[String]) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Group(group) => mentions(group.stream(), names),
        proc_macro2::TokenTree::Ident(ident) => names.contains(&ident.to_string()),
        proc_macro2::TokenTree::Punct(punct) => punct.as_char() == '\'',
        proc_macro2::TokenTree::Literal(_) => false,
    })
}
