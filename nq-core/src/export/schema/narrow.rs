//! Finds the values that an old schema takes and a new one does not. No narrowing is missed; where the comparison is not
//! certain, the finding says that it may break.

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use super::disjoint::disjoint;
use super::lower::{Bound, Id, Kind, Lowered, Part, Range, Union, compare, same};

/// Something that the old schema takes, and the new one does not, or may not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Narrowing {
    /// Where in the payload, as a JSON pointer; `*` stands for every item or field.
    pub(crate) pointer: String,
    /// What is narrower.
    pub(crate) message: String,
    /// Whether there is such a payload for certain.
    pub(crate) certain: bool,
}

/// What the new schema no longer takes of what the old one took.
///
/// A field that the old schema does not mention counts as absent: the old type wrote the payloads, and a new optional
/// field is the most common change.
pub(crate) fn narrowings(old: &Value, new: &Value) -> Vec<Narrowing> {
    if old == new {
        return Vec::new();
    }
    let mut compare =
        Compare { old: Lowered::new(old), new: Lowered::new(new), open: BTreeSet::new(), steps: 0 };
    let start = compare.with(&Old::default(), 0);
    let mut found = start.map(|start| compare.fit(&start, 0, "")).unwrap_or_default();
    if compare.steps > MAX_STEPS {
        found.push(unsure("", "the schema is too involved to be compared"));
    }
    found.sort();
    found.dedup();
    found
}

/// The most pairs of schemas that are looked at.
const MAX_STEPS: u32 = 200_000;

fn certain(pointer: &str, message: impl Into<String>) -> Narrowing {
    Narrowing { pointer: pointer.to_owned(), message: message.into(), certain: true }
}

fn unsure(pointer: &str, message: impl Into<String>) -> Narrowing {
    Narrowing { pointer: pointer.to_owned(), message: message.into(), certain: false }
}

/// Old schemas that a value satisfies all, with references followed, and the alternatives that were not split up yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Old {
    parts: BTreeSet<Id>,
    unions: Vec<Vec<Id>>,
}

struct Compare<'a> {
    old: Lowered<'a>,
    new: Lowered<'a>,
    /// The pairs that are being compared. A pair that comes again inside of itself, because its schema refers to itself,
    /// counts as fitting: the rest of the comparison decides.
    open: BTreeSet<(Old, Id)>,
    steps: u32,
}

impl Compare<'_> {
    /// Adds another schema to the old ones. None if no value satisfies them all.
    fn with(&self, old: &Old, id: Id) -> Option<Old> {
        let mut old = old.clone();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !old.parts.insert(id) {
                continue;
            }
            let part = &self.old.parts[id];
            if part.never || old.parts.iter().any(|other| part.contradicts(&self.old.parts[*other])) {
                return None;
            }
            old.unions.extend(part.unions.iter().map(|union| union.branches.clone()));
            open.extend(&part.all);
        }
        Some(old)
    }

    fn all_of(&self, ids: &[Id]) -> Option<Old> {
        ids.iter().try_fold(Old::default(), |old, id| self.with(&old, *id))
    }

    fn parts<'b>(&'b self, old: &'b Old) -> impl Iterator<Item = &'b Part> {
        old.parts.iter().map(|id| &self.old.parts[*id])
    }

    /// Which values the old schemas take and the new one does not.
    fn fit_all(&mut self, old: &[Id], new: Id, at: &str) -> Vec<Narrowing> {
        self.all_of(old).map(|old| self.fit(&old, new, at)).unwrap_or_default()
    }

    fn fit(&mut self, old: &Old, new: Id, at: &str) -> Vec<Narrowing> {
        self.steps += 1;
        let key = (old.clone(), new);
        if self.steps > MAX_STEPS || !self.open.insert(key.clone()) {
            return Vec::new();
        }
        let found = self.fit_now(old, new, at);
        self.open.remove(&key);
        found
    }

    fn fit_now(&mut self, old: &Old, new: Id, at: &str) -> Vec<Narrowing> {
        if self.new.parts[new].is_any() {
            return Vec::new();
        }
        // Each alternative of the old schema must fit by itself.
        let mut rest = old.clone();
        if let Some(branches) = rest.unions.pop() {
            let each = branches.into_iter().filter_map(|branch| self.with(&rest, branch)).collect::<Vec<_>>();
            return each.iter().flat_map(|old| self.fit(old, new, at)).collect();
        }
        let part = self.new.parts[new].clone();
        if part.never {
            return vec![certain(at, format!("{} is no longer taken", self.describe(old)))];
        }
        let mut found = Vec::new();
        for id in &part.all {
            found.extend(self.fit(old, *id, at));
        }
        let kind = self.kind(old);
        if let Some(new_kind) = part.kind
            && !kind.is_some_and(|kind| kind.within(new_kind))
        {
            let was = kind.map_or("any JSON", Kind::name);
            found.push(certain(at, format!("the type was {was}, and is now {}", new_kind.name())));
            return found;
        }
        if let Some(only) = &part.only
            && !self.only(old).is_some_and(|old| same(&old, only))
        {
            found.push(certain(at, format!("was {}, and is now only `{only}`", self.describe(old))));
        }
        let may_be = |wanted: Kind| kind.is_none_or(|kind| kind.within(wanted));
        if may_be(Kind::Object) {
            self.fit_object(old, &part, at, &mut found);
        }
        if may_be(Kind::Array) {
            self.fit_array(old, &part, at, &mut found);
        }
        if may_be(Kind::Number) {
            self.fit_number(old, &part, at, &mut found);
        }
        if may_be(Kind::String) {
            self.fit_string(old, &part, at, &mut found);
        }
        for union in &part.unions {
            found.extend(self.fit_union(old, union, at));
        }
        // A keyword that is not understood may hold a reference, and the schema behind it may have changed.
        let refers = part.opaque.values().any(|value| value.to_string().contains("\"$ref\""));
        let known = !refers && self.parts(old).any(|old| old.opaque == part.opaque);
        if !part.opaque.is_empty() && !known {
            let keywords = part.opaque.keys().filter(|keyword| *keyword != "beside");
            let keywords = keywords.map(|keyword| format!("`{keyword}`")).collect::<Vec<_>>().join(", ");
            found.push(unsure(at, format!("differs in {keywords}, which is not understood")));
        }
        found
    }

    fn fit_object(&mut self, old: &Old, part: &Part, at: &str, found: &mut Vec<Narrowing>) {
        let required: BTreeSet<_> = self.parts(old).flat_map(|part| part.required.clone()).collect();
        for name in part.required.difference(&required) {
            found.push(certain(at, format!("the field `{name}` is now required")));
        }
        for (name, new) in &part.properties {
            let at = below(at, name);
            let (ids, known) = self.field(old, name);
            if !known {
                found.push(unsure(&at, "a pattern may have named this field before"));
            } else if !ids.is_empty() {
                found.extend(self.fit_all(&ids, *new, &at));
            }
        }
        for (pattern, new) in &part.patterns {
            let at = format!("{at}/*");
            let ids: Vec<_> =
                self.parts(old).filter_map(|part| part.patterns.get(pattern).copied()).collect();
            if ids.is_empty() {
                found.push(unsure(
                    &at,
                    format!("fields that match `{pattern}` have a schema of their own now"),
                ));
            } else {
                found.extend(self.fit_all(&ids, *new, &at));
            }
        }
        if let Some(new) = part.additional {
            self.fit_additional(old, part, new, at, found);
        }
        let named = self.names(old).len() as u64;
        let never = |id: &Id| self.old.parts[*id].never;
        let closed = self
            .parts(old)
            .any(|part| part.patterns.is_empty() && part.additional.as_ref().is_some_and(never));
        let implied = (Some(required.len() as u64), closed.then_some(named));
        let old_size = self.range(old, implied, |part| part.size);
        fit_range(old_size, part.size, at, "field", found);
    }

    fn fit_additional(&mut self, old: &Old, part: &Part, new: Id, at: &str, found: &mut Vec<Narrowing>) {
        if self.new.parts[new].is_any() {
            return;
        }
        for name in self.names(old) {
            if part.properties.contains_key(&name) {
                continue;
            }
            let at = below(at, &name);
            let ids = self.field(old, &name).0;
            if !part.patterns.is_empty() {
                found.push(unsure(&at, "a pattern may name this field now"));
            } else if self.all_of(&ids).is_some() && self.new.parts[new].never {
                found.push(certain(&at, "this field is no longer taken"));
            } else {
                found.extend(self.fit_all(&ids, new, &at));
            }
        }
        let at = format!("{at}/*");
        let gone = self.parts(old).flat_map(|part| &part.patterns);
        let gone: Vec<_> =
            gone.filter(|(name, _)| !part.patterns.contains_key(*name)).map(|(_, id)| *id).collect();
        for id in gone {
            found.extend(self.fit_all(&[id], new, &at));
        }
        let ids: Vec<_> = self.parts(old).filter_map(|part| part.additional).collect();
        let closed = self.new.parts[new].never;
        match ids.is_empty() {
            true if closed => found.push(certain(&at, "other fields are no longer taken")),
            true => found.push(unsure(&at, "other fields have a schema now")),
            false if closed && self.all_of(&ids).is_some() => {
                found.push(certain(&at, "other fields are no longer taken"));
            }
            false => found.extend(self.fit_all(&ids, new, &at)),
        }
    }

    /// What the old schemas say about a field, and whether that is certain.
    fn field(&self, old: &Old, name: &str) -> (Vec<Id>, bool) {
        let mut known = true;
        let ids = self.parts(old).filter_map(|part| match part.properties.get(name) {
            Some(id) => Some(*id),
            None if part.patterns.is_empty() => part.additional,
            None => {
                known = false;
                None
            }
        });
        (ids.collect(), known)
    }

    fn names(&self, old: &Old) -> BTreeSet<String> {
        self.parts(old).flat_map(|part| part.properties.keys().cloned()).collect()
    }

    fn fit_array(&mut self, old: &Old, part: &Part, at: &str, found: &mut Vec<Narrowing>) {
        let never = |id: Id| self.old.parts[id].never;
        let ends =
            self.parts(old).filter(|part| part.items.is_some_and(never)).map(|part| part.prefix.len() as u64);
        let count = self.range(old, (Some(0), ends.min()), |part| part.count);
        fit_range(count, part.count, at, "item", found);
        let may_have = |index: usize| count.1.is_none_or(|most| most > index as u64);
        let told = self.parts(old).map(|part| part.prefix.len()).max().unwrap_or(0);
        for index in (0..part.prefix.len().max(told)).filter(|index| may_have(*index)) {
            let Some(new) = part.prefix.get(index).copied().or(part.items) else { break };
            let ids = self.item(old, index);
            found.extend(self.fit_all(&ids, new, &format!("{at}/{index}")));
        }
        let rest = part.prefix.len().max(told);
        if let Some(new) = part.items
            && may_have(rest)
        {
            let ids = self.item(old, rest);
            found.extend(self.fit_all(&ids, new, &format!("{at}/*")));
        }
        if part.unique && !self.parts(old).any(|part| part.unique) && may_have(1) {
            found.push(certain(at, "equal items are no longer taken"));
        }
    }

    fn item(&self, old: &Old, index: usize) -> Vec<Id> {
        self.parts(old).filter_map(|part| part.prefix.get(index).copied().or(part.items)).collect()
    }

    fn fit_number(&self, old: &Old, part: &Part, at: &str, found: &mut Vec<Narrowing>) {
        let only = match self.only(old) {
            Some(Value::Number(at)) => Some(Bound { at, open: false }),
            _ => None,
        };
        let whole = self.kind(old) == Some(Kind::Integer);
        let lower = only.iter().chain(self.parts(old).filter_map(|part| part.lower.as_ref()));
        let lower =
            lower.map(|bound| inclusive(bound, whole, 1)).reduce(|a, b| if b.is_above(&a) { b } else { a });
        if let Some(new) = part.lower.as_ref().map(|bound| inclusive(bound, whole, 1))
            && lower.is_none_or(|lower| new.is_above(&lower))
        {
            found.push(certain(
                at,
                format!("must now be {} {}", if new.open { "above" } else { "at least" }, new.at),
            ));
        }
        let upper = only.iter().chain(self.parts(old).filter_map(|part| part.upper.as_ref()));
        let upper =
            upper.map(|bound| inclusive(bound, whole, -1)).reduce(|a, b| if b.is_below(&a) { b } else { a });
        if let Some(new) = part.upper.as_ref().map(|bound| inclusive(bound, whole, -1))
            && upper.is_none_or(|upper| new.is_below(&upper))
        {
            found.push(certain(
                at,
                format!("must now be {} {}", if new.open { "below" } else { "at most" }, new.at),
            ));
        }
        if let Some(of) = &part.multiple_of {
            let known = only.iter().map(|bound| &bound.at);
            let known: Vec<_> =
                known.chain(self.parts(old).filter_map(|part| part.multiple_of.as_ref())).collect();
            let one = whole && of.as_u64() == Some(1);
            if !one && !known.iter().any(|number| divides(of, number) == Some(true)) {
                let sure = known.iter().all(|number| divides(of, number) == Some(false));
                let message = format!("must now be a multiple of {of}");
                found.push(if sure { certain(at, message) } else { unsure(at, message) });
            }
        }
    }

    fn fit_string(&self, old: &Old, part: &Part, at: &str, found: &mut Vec<Narrowing>) {
        let only = self.only(old);
        let length = only.as_ref().and_then(Value::as_str).map(|text| text.chars().count() as u64);
        let range = self.range(old, (Some(length.unwrap_or(0)), length), |part| part.length);
        fit_range(range, part.length, at, "character", found);
        if let Some(pattern) = &part.pattern
            && !self.parts(old).any(|part| part.pattern.as_ref() == Some(pattern))
        {
            found.push(unsure(at, format!("must now match `{pattern}`")));
        }
        if let Some(format) = &part.format
            && !self.parts(old).any(|part| part.format.as_ref() == Some(format))
        {
            found.push(unsure(at, format!("must now have the format `{format}`")));
        }
    }

    fn fit_union(&mut self, old: &Old, union: &Union, at: &str) -> Vec<Narrowing> {
        let ids: Vec<_> = old.parts.iter().copied().collect();
        let possible = union
            .branches
            .iter()
            .copied()
            .filter(|new| !disjoint((&self.old, &ids), (&self.new, &[*new]), 0));
        let possible: Vec<_> = possible.collect();
        match possible.as_slice() {
            [] => vec![certain(at, format!("{} is no longer taken", self.describe(old)))],
            [branch] => self.fit(old, *branch, at),
            branches => {
                let fits = branches.iter().filter(|new| self.fit(old, **new, at).is_empty()).count();
                let was = self.describe(old);
                match fits {
                    0 => vec![unsure(at, format!("no one alternative takes each {was} that was taken"))],
                    _ if union.exclusive => {
                        vec![unsure(at, format!("more than one alternative may take {was}, where one must"))]
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    fn kind(&self, old: &Old) -> Option<Kind> {
        // Where both integer and number are given, the narrower one counts.
        self.parts(old).filter_map(|part| part.kind).min()
    }

    fn only(&self, old: &Old) -> Option<Value> {
        if self.kind(old) == Some(Kind::Null) {
            return Some(Value::Null);
        }
        self.parts(old).find_map(|part| part.only.clone())
    }

    fn range(&self, old: &Old, implied: Range, of: impl Fn(&Part) -> Range) -> Range {
        let ranges: Vec<_> = self.parts(old).map(of).chain([implied]).collect();
        (ranges.iter().filter_map(|range| range.0).max(), ranges.iter().filter_map(|range| range.1).min())
    }

    /// The old schemas in a few words.
    fn describe(&self, old: &Old) -> String {
        if let Some(only) = self.only(old) {
            return format!("`{only}`");
        }
        // The field that tells the variants of an enum apart.
        let required: BTreeSet<_> = self.parts(old).flat_map(|part| &part.required).collect();
        for name in &required {
            let tag = self.all_of(&self.field(old, name).0).and_then(|field| self.only(&field));
            if let Some(tag) = tag {
                return format!("an object with `{name}` = `{tag}`");
            }
        }
        match (self.kind(old), required.first()) {
            (Some(Kind::Object), Some(name)) if required.len() == 1 => format!("an object with `{name}`"),
            (Some(kind), _) => kind.name().to_owned(),
            (None, _) => "any JSON".to_owned(),
        }
    }
}

fn fit_range(old: Range, new: Range, at: &str, what: &str, found: &mut Vec<Narrowing>) {
    let plural = |count: u64| if count == 1 { what.to_owned() } else { format!("{what}s") };
    if let Some(least) = new.0
        && old.0.unwrap_or(0) < least
    {
        found.push(certain(at, format!("must now have at least {least} {}", plural(least))));
    }
    if let Some(most) = new.1
        && old.1.is_none_or(|old| old > most)
    {
        found.push(certain(at, format!("must now have at most {most} {}", plural(most))));
    }
}

/// For whole numbers, an exclusive bound becomes the inclusive one next to it.
fn inclusive(bound: &Bound, whole: bool, inwards: i64) -> Bound {
    let next = bound.at.as_i64().and_then(|at| at.checked_add(inwards));
    match next {
        Some(next) if whole && bound.open => Bound { at: next.into(), open: false },
        _ => bound.clone(),
    }
}

/// Whether a number is a multiple of another; none where rounding hides it.
fn divides(of: &Number, number: &Number) -> Option<bool> {
    if compare(of, number).is_eq() {
        return Some(true);
    }
    let (of, number) = (of.as_i64()?, number.as_i64()?);
    Some(of != 0 && number % of == 0)
}

/// A pointer to a field.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
