//! Brings a JSON Schema into a form in which meaning can be compared: references resolved, lists of types and
//! values turned into alternatives, annotations dropped.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use super::ranges::range;

/// A schema in the arena.
pub(super) type Id = usize;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    /// A number that need not be whole.
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Null, Self::Boolean, Self::Number, Self::String, Self::Array, Self::Object];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Integer]).find(|kind| kind.name() == name)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Whether each value of this kind is one of the other.
    pub(super) fn within(self, other: Self) -> bool {
        self == other || (self == Self::Integer && other == Self::Number)
    }
}

/// A bound of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) at: Number,
    /// Whether the bound itself is outside.
    pub(super) open: bool,
}

/// Alternatives: a value must satisfy at least one of these schemas.
#[derive(Clone, Debug)]
pub(super) struct Union {
    pub(super) branches: Vec<Id>,
    /// Whether a value must satisfy exactly one.
    pub(super) exclusive: bool,
}

/// The least and the greatest size.
pub(super) type Range = (Option<u64>, Option<u64>);

/// A schema: a value satisfies it if it satisfies each field that is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) never: bool,
    pub(super) all: Vec<Id>,
    pub(super) unions: Vec<Union>,
    pub(super) kind: Option<Kind>,
    /// The only value: null, a boolean, a number or a string.
    pub(super) only: Option<Value>,
    pub(super) properties: BTreeMap<String, Id>,
    pub(super) required: BTreeSet<String>,
    /// Fields whose names match.
    pub(super) patterns: BTreeMap<String, Id>,
    /// All other fields.
    pub(super) additional: Option<Id>,
    pub(super) prefix: Vec<Id>,
    pub(super) items: Option<Id>,
    pub(super) unique: bool,
    pub(super) lower: Option<Bound>,
    pub(super) upper: Option<Bound>,
    pub(super) multiple_of: Option<Number>,
    pub(super) length: Range,
    pub(super) count: Range,
    pub(super) size: Range,
    pub(super) pattern: Option<String>,
    pub(super) format: Option<String>,
    /// The keywords that are not understood, with their values.
    pub(super) opaque: BTreeMap<String, Value>,
}

/// Keywords that say nothing about which values fit.
const ANNOTATIONS: [&str; 14] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "contentEncoding",
    "contentMediaType",
];

/// An arena of schemas of one document.
pub(super) struct Lowered<'a> {
    root: &'a Value,
    pub(super) parts: Vec<Part>,
    references: BTreeMap<String, Id>,
}

impl<'a> Lowered<'a> {
    /// Lowers a document. Its own schema is the first in the arena.
    pub(super) fn new(root: &'a Value) -> Self {
        let mut lowered = Self { root, parts: Vec::new(), references: BTreeMap::new() };
        lowered.parts.push(Part::default());
        lowered.references.insert("#".to_owned(), 0);
        let part = lowered.lower(root);
        lowered.parts[0] = part;
        lowered
    }

    /// These schemas and those that they refer to.
    pub(super) fn followed(&self, ids: &[Id]) -> Vec<Id> {
        let mut seen = BTreeSet::new();
        let mut open = ids.to_vec();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(&self.parts[id].all);
            }
        }
        seen.into_iter().collect()
    }

    fn add(&mut self, part: Part) -> Id {
        self.parts.push(part);
        self.parts.len() - 1
    }

    fn sub(&mut self, schema: &Value) -> Id {
        let part = self.lower(schema);
        self.add(part)
    }

    fn subs(&mut self, schemas: &[Value]) -> Vec<Id> {
        schemas.iter().map(|schema| self.sub(schema)).collect()
    }

    fn kind(&mut self, kind: Kind) -> Id {
        self.add(Part { kind: Some(kind), ..Part::default() })
    }

    /// The schema that a reference points to; none where it leads out of the document.
    fn reference(&mut self, reference: &str) -> Option<Id> {
        if let Some(id) = self.references.get(reference) {
            return Some(*id);
        }
        let target = self.root.pointer(reference.strip_prefix('#')?)?;
        // The schema gets its place before it is lowered, since it may refer to itself.
        let id = self.add(Part::default());
        self.references.insert(reference.to_owned(), id);
        let part = self.lower(target);
        self.parts[id] = part;
        Some(id)
    }

    fn lower(&mut self, schema: &Value) -> Part {
        match schema {
            Value::Object(keywords) => self.lower_object(keywords),
            Value::Bool(takes) => Part { never: !takes, ..Part::default() },
            other => Part { opaque: [("schema".to_owned(), other.clone())].into(), ..Part::default() },
        }
    }

    fn lower_object(&mut self, keywords: &Map<String, Value>) -> Part {
        let mut part = Part::default();
        for (keyword, value) in keywords {
            if !self.keyword(&mut part, keyword, value)
                && !ANNOTATIONS.contains(&keyword.as_str())
                && !keyword.starts_with("x-")
            {
                part.opaque.insert(keyword.clone(), value.clone());
            }
        }
        // The meaning of these keywords depends on their neighbours, so they are compared together with these.
        if part.opaque.keys().any(|keyword| keyword.starts_with("unevaluated")) {
            part.opaque.insert("beside".to_owned(), Value::Object(keywords.clone()));
        }
        part
    }

    /// Adds a keyword to the part. False if the keyword is not understood.
    fn keyword(&mut self, part: &mut Part, keyword: &str, value: &Value) -> bool {
        let size = |range: &mut Option<u64>| {
            *range = value.as_u64();
            range.is_some()
        };
        match (keyword, value) {
            ("$ref", Value::String(reference)) => match self.reference(reference) {
                Some(id) => part.all.push(id),
                None => return false,
            },
            ("allOf", Value::Array(schemas)) => part.all.extend(self.subs(schemas)),
            ("anyOf" | "oneOf", Value::Array(schemas)) => {
                let branches = self.subs(schemas);
                part.unions.push(Union { branches, exclusive: keyword == "oneOf" });
            }
            ("type", Value::String(name)) => match Kind::named(name) {
                Some(kind) => part.kind = Some(kind),
                None => return false,
            },
            ("type", Value::Array(names)) => {
                let kinds = names.iter().map(|name| Kind::named(name.as_str()?)).collect::<Option<Vec<_>>>();
                let Some(kinds) = kinds else { return false };
                let branches = kinds.into_iter().map(|kind| self.kind(kind)).collect();
                part.unions.push(Union { branches, exclusive: false });
            }
            ("const", value) => {
                let id = self.constant(value);
                part.all.push(id);
            }
            ("enum", Value::Array(values)) => {
                let branches = values.iter().map(|value| self.constant(value)).collect();
                part.unions.push(Union { branches, exclusive: false });
            }
            ("properties", Value::Object(properties)) => {
                part.properties =
                    properties.iter().map(|(name, schema)| (name.clone(), self.sub(schema))).collect();
            }
            ("patternProperties", Value::Object(patterns)) => {
                part.patterns =
                    patterns.iter().map(|(name, schema)| (name.clone(), self.sub(schema))).collect();
            }
            ("required", Value::Array(names)) => {
                part.required = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            }
            ("additionalProperties", schema) => part.additional = Some(self.sub(schema)),
            ("prefixItems", Value::Array(schemas)) => part.prefix = self.subs(schemas),
            ("items", Value::Object(_) | Value::Bool(_)) => part.items = Some(self.sub(value)),
            ("uniqueItems", Value::Bool(unique)) => part.unique = *unique,
            ("minimum", Value::Number(at)) => part.raise(Bound { at: at.clone(), open: false }),
            ("exclusiveMinimum", Value::Number(at)) => part.raise(Bound { at: at.clone(), open: true }),
            ("maximum", Value::Number(at)) => part.cut(Bound { at: at.clone(), open: false }),
            ("exclusiveMaximum", Value::Number(at)) => part.cut(Bound { at: at.clone(), open: true }),
            ("multipleOf", Value::Number(of)) => part.multiple_of = Some(of.clone()),
            ("minLength", _) => return size(&mut part.length.0),
            ("maxLength", _) => return size(&mut part.length.1),
            ("minItems", _) => return size(&mut part.count.0),
            ("maxItems", _) => return size(&mut part.count.1),
            ("minProperties", _) => return size(&mut part.size.0),
            ("maxProperties", _) => return size(&mut part.size.1),
            ("pattern", Value::String(pattern)) => part.pattern = Some(pattern.clone()),
            ("format", Value::String(format)) => part.lower_format(format),
            _ => return false,
        }
        true
    }

    /// The schema that this value alone satisfies.
    fn constant(&mut self, value: &Value) -> Id {
        let kind = Some(Kind::of(value));
        let part = match value {
            Value::Array(values) => {
                let prefix: Vec<_> = values.iter().map(|value| self.constant(value)).collect();
                let count = (Some(prefix.len() as u64), Some(prefix.len() as u64));
                Part { kind, prefix, count, ..Part::default() }
            }
            Value::Object(fields) => {
                let properties: BTreeMap<_, _> =
                    fields.iter().map(|(name, value)| (name.clone(), self.constant(value))).collect();
                let never = self.add(Part { never: true, ..Part::default() });
                let required = properties.keys().cloned().collect();
                Part { kind, properties, required, additional: Some(never), ..Part::default() }
            }
            scalar => Part { kind, only: Some(scalar.clone()), ..Part::default() },
        };
        self.add(part)
    }
}

impl Part {
    fn raise(&mut self, bound: Bound) {
        let looser = self.lower.as_ref().is_some_and(|own| own.is_above(&bound) || *own == bound);
        if !looser {
            self.lower = Some(bound);
        }
    }

    fn cut(&mut self, bound: Bound) {
        let looser = self.upper.as_ref().is_some_and(|own| own.is_below(&bound) || *own == bound);
        if !looser {
            self.upper = Some(bound);
        }
    }

    /// The widths of integers are bounds; other formats are kept as they are.
    fn lower_format(&mut self, format: &str) {
        // These formats say how exactly a number is kept, not which numbers fit.
        if matches!(format, "float" | "double") {
            return;
        }
        if let Some((least, most)) = range(format) {
            self.raise(Bound { at: least, open: false });
            self.cut(Bound { at: most, open: false });
        } else {
            self.format = Some(format.to_owned());
        }
    }
}

impl Part {
    /// Whether every value satisfies it.
    pub(super) fn is_any(&self) -> bool {
        let Self { properties, patterns, required, prefix, opaque, all, unions, .. } = self;
        let lists = properties.is_empty() && patterns.is_empty() && required.is_empty() && prefix.is_empty();
        let plain =
            self.kind.is_none() && self.only.is_none() && self.pattern.is_none() && self.format.is_none();
        let numbers = self.lower.is_none() && self.upper.is_none() && self.multiple_of.is_none();
        let sizes = [self.length, self.count, self.size].iter().all(|range| *range == (None, None));
        let inner = self.additional.is_none() && self.items.is_none() && !self.unique && !self.never;
        let rest = opaque.is_empty() && all.is_empty() && unions.is_empty();
        lists && plain && numbers && sizes && inner && rest
    }
}

impl Bound {
    /// Whether, as lower bounds, this one excludes more than the other.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        match compare(&self.at, &other.at) {
            Ordering::Equal => self.open && !other.open,
            order => order == Ordering::Greater,
        }
    }

    /// Whether, as upper bounds, this one excludes more than the other.
    pub(super) fn is_below(&self, other: &Self) -> bool {
        match compare(&self.at, &other.at) {
            Ordering::Equal => self.open && !other.open,
            order => order == Ordering::Less,
        }
    }
}

/// Which number is larger: exactly for whole ones, else as floating point.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return a.cmp(&b);
    }
    let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    float(a).total_cmp(&float(b))
}

/// Whether two scalars are the same value: `1` and `1.0` are.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Ordering::Equal,
        _ => a == b,
    }
}
