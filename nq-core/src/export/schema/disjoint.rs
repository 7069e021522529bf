//! Finds schemas that no value satisfies both.

use serde_json::Value;

use super::lower::{Id, Kind, Lowered, Part, same};

/// How deep the search for a difference goes.
const MAX_DEPTH: u32 = 6;

/// Schemas of one document that a value must satisfy all.
type Together<'a> = (&'a Lowered<'a>, &'a [Id]);

/// Whether no value satisfies both, for certain.
pub(super) fn disjoint(one: Together<'_>, two: Together<'_>, depth: u32) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let (one_ids, two_ids) = (one.0.followed(one.1), two.0.followed(two.1));
    let ones: Vec<_> = one_ids.iter().map(|id| &one.0.parts[*id]).collect();
    let twos: Vec<_> = two_ids.iter().map(|id| &two.0.parts[*id]).collect();
    if ones.iter().chain(&twos).any(|part| part.never) {
        return true;
    }
    if ones.iter().any(|a| twos.iter().any(|b| a.contradicts(b))) {
        return true;
    }
    let is_object = ones.iter().chain(&twos).any(|part| part.kind == Some(Kind::Object));
    let mut required = ones.iter().chain(&twos).flat_map(|part| &part.required);
    let differs =
        |name: &String| disjoint((one.0, &field(&ones, name)), (two.0, &field(&twos, name)), depth + 1);
    if is_object && required.any(differs) {
        return true;
    }
    let mut unions = ones.iter().flat_map(|part| &part.unions);
    let apart = |id: &Id| disjoint((one.0, &[*id]), (two.0, &two_ids), depth + 1);
    if unions.any(|union| union.branches.iter().all(apart)) {
        return true;
    }
    let mut unions = twos.iter().flat_map(|part| &part.unions);
    let apart = |id: &Id| disjoint((one.0, &one_ids), (two.0, &[*id]), depth + 1);
    unions.any(|union| union.branches.iter().all(apart))
}

/// The schemas of a field.
fn field(parts: &[&Part], name: &str) -> Vec<Id> {
    let plain = parts.iter().filter(|part| part.patterns.is_empty());
    plain.filter_map(|part| part.properties.get(name).copied().or(part.additional)).collect()
}

/// Why a field of two payloads is never equal, if that is certain. A missing field and `null` equal nothing.
pub(crate) fn never_equal(one: &Value, two: &Value, name: &str) -> Option<String> {
    let (one, two) = (Lowered::new(one), Lowered::new(two));
    match (Told::new(&one, name)?, Told::new(&two, name)?) {
        (Told::Absent, Told::Absent) => Some("neither has such a field".into()),
        (Told::Absent, Told::Field(_)) => Some("the first has no such field".into()),
        (Told::Field(_), Told::Absent) => Some("the second has no such field".into()),
        (Told::Field(a), Told::Field(b)) => {
            let apart = disjoint((&one, &a), (&two, &b), 0);
            apart.then(|| format!("it is {} in one and {} in the other", one.name(&a), two.name(&b)))
        }
    }
}

/// What the schema of a plain object says about a field.
enum Told {
    Absent,
    Field(Vec<Id>),
}

impl Told {
    fn new(schema: &Lowered<'_>, name: &str) -> Option<Self> {
        let parts: Vec<_> = schema.followed(&[0]).into_iter().map(|id| &schema.parts[id]).collect();
        let plain = |part: &&Part| {
            part.unions.is_empty()
                && part.opaque.is_empty()
                && part.patterns.is_empty()
                && part.additional.is_none()
        };
        if !parts.iter().all(plain) || !parts.iter().any(|part| part.kind == Some(Kind::Object)) {
            return None;
        }
        let ids = field(&parts, name);
        Some(if ids.is_empty() { Self::Absent } else { Self::Field(ids) })
    }
}

impl Lowered<'_> {
    /// The kind of these schemas, to be named in a message.
    fn name(&self, ids: &[Id]) -> &'static str {
        let kinds = self.followed(ids).into_iter().filter_map(|id| self.parts[id].kind);
        kinds.min().map_or("something else", Kind::name)
    }
}

impl Part {
    /// Whether no value satisfies both, as their kinds and constants show.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let kinds = matches!((self.kind, other.kind), (Some(a), Some(b)) if !a.within(b) && !b.within(a));
        let values = matches!((&self.only, &other.only), (Some(a), Some(b)) if !same(a, b));
        kinds || values
    }
}
