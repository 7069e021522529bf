//! Tables of changed schemas, and what they narrow.

use serde_json::{Value, json};

use super::narrow::narrowings;

/// The narrowings of a change, one a line: `!` where a payload breaks for certain, `?` where it may.
fn found(old: &Value, new: &Value) -> String {
    let lines = narrowings(old, new).into_iter().map(|found| {
        let mark = if found.certain { '!' } else { '?' };
        format!("{mark} {} {}", found.pointer, found.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(old: Value, new: Value, expected: &str) {
    assert_eq!(found(&old, &new), expected, "\nold: {old}\nnew: {new}");
}

/// An object with these fields, of which the first is required.
fn object(fields: Value) -> Value {
    json!({ "type": "object", "properties": fields, "required": ["id"] })
}

#[test]
fn what_means_the_same_is_no_change() {
    for (old, new) in [
        (
            json!({ "type": ["string", "null"] }),
            json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }),
        ),
        (
            json!({ "enum": ["a", "b"] }),
            json!({ "oneOf": [{ "const": "b" }, { "type": "string", "const": "a" }] }),
        ),
        (json!({ "type": "integer", "exclusiveMinimum": 0 }), json!({ "type": "integer", "minimum": 1 })),
        (
            json!({ "type": "integer", "format": "uint8" }),
            json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        ),
        (
            json!({ "type": "string", "title": "A", "description": "b" }),
            json!({ "type": "string", "x-note": 1 }),
        ),
        (json!({ "const": 1 }), json!({ "enum": [1.0] })),
        (json!({ "type": "null" }), json!({ "const": null })),
        (json!({}), json!(true)),
        (
            json!({ "allOf": [{ "type": "object" }, { "required": ["a"] }] }),
            json!({ "type": "object", "required": ["a"] }),
        ),
        (
            json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/A" } }, "$defs": { "A": { "type": "string" } } }),
            json!({ "type": "object", "properties": { "a": { "type": "string", "description": "inline" } } }),
        ),
        (
            json!({ "required": ["a", "b"], "type": "object" }),
            json!({ "required": ["b", "a"], "type": "object" }),
        ),
        (json!({ "const": { "a": [1, "x"] } }), json!({ "enum": [{ "a": [1, "x"] }] })),
    ] {
        check(old.clone(), new.clone(), "");
        check(new, old, "");
    }
}

#[test]
fn what_widens_is_safe() {
    let id = json!({ "type": "integer" });
    for (old, new) in [
        (object(json!({ "id": id })), object(json!({ "id": id, "note": { "type": "string" } }))),
        (object(json!({ "id": id })), object(json!({ "id": { "type": "number" } }))),
        (object(json!({ "id": id })), object(json!({ "id": { "type": ["integer", "null"] } }))),
        (object(json!({ "id": id })), json!({ "type": "object", "properties": { "id": id } })),
        (json!({ "enum": ["a"] }), json!({ "enum": ["a", "b"] })),
        (json!({ "type": "string", "maxLength": 5 }), json!({ "type": "string", "maxLength": 6 })),
        (json!({ "type": "string", "pattern": "a" }), json!({ "type": "string" })),
        (
            json!({ "type": "string", "const": "abc" }),
            json!({ "type": "string", "minLength": 3, "maxLength": 3 }),
        ),
        (json!({ "const": 6 }), json!({ "type": "integer", "minimum": 6, "multipleOf": 3 })),
        (json!({ "multipleOf": 6, "type": "integer" }), json!({ "multipleOf": 3, "type": "number" })),
        (json!({ "type": "integer", "format": "uint32" }), json!({ "type": "integer", "format": "int64" })),
        (json!({ "not": { "const": 1 } }), json!({})),
        (json!(false), json!({ "type": "string" })),
        (
            json!({ "type": "array", "prefixItems": [{ "const": 1 }], "items": false, "maxItems": 1 }),
            json!({ "type": "array", "items": { "type": "integer" } }),
        ),
        (
            json!({ "type": "object", "additionalProperties": { "const": 1 } }),
            json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        ),
        (
            json!({ "type": "object", "properties": { "a": { "const": 1 } }, "additionalProperties": false }),
            json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        ),
        (
            json!({ "type": "object", "patternProperties": { "^[0-9]+$": { "type": "integer" } }, "additionalProperties": false }),
            json!({ "type": "object", "patternProperties": { "^[0-9]+$": { "type": "number" } }, "additionalProperties": false }),
        ),
    ] {
        check(old, new, "");
    }
}

#[test]
fn what_narrows_is_named_where_it_narrows() {
    let id = json!({ "type": "integer" });
    for (old, new, expected) in [
        (
            object(json!({ "id": id })),
            json!({ "type": "object", "properties": { "id": id, "note": { "type": "string" } }, "required": ["id", "note"] }),
            "!  the field `note` is now required",
        ),
        (
            object(json!({ "id": id })),
            object(json!({ "id": { "type": "string" } })),
            "! /id the type was integer, and is now string",
        ),
        (
            json!({ "type": "number" }),
            json!({ "type": "integer" }),
            "!  the type was number, and is now integer",
        ),
        (json!({}), json!({ "type": "string" }), "!  the type was any JSON, and is now string"),
        (json!({ "enum": ["a", "b"] }), json!({ "enum": ["a"] }), "!  `\"b\"` is no longer taken"),
        (json!({ "enum": ["a", "b", "c"] }), json!({ "enum": ["a", "c"] }), "!  `\"b\"` is no longer taken"),
        (
            json!({ "type": "string" }),
            json!({ "enum": ["a", "b"] }),
            "?  no one alternative takes each string that was taken",
        ),
        (
            json!({ "type": ["string", "null"] }),
            json!({ "type": "string" }),
            "!  the type was null, and is now string",
        ),
        (
            json!({ "type": "integer", "minimum": 0 }),
            json!({ "type": "integer", "minimum": 1 }),
            "!  must now be at least 1",
        ),
        (
            json!({ "type": "number" }),
            json!({ "type": "number", "exclusiveMaximum": 9 }),
            "!  must now be below 9",
        ),
        (
            json!({ "type": "integer", "format": "uint64", "minimum": 0 }),
            json!({ "type": "integer", "format": "int64" }),
            "!  must now be at most 9223372036854775807",
        ),
        (
            json!({ "type": "integer" }),
            json!({ "type": "integer", "multipleOf": 5 }),
            "!  must now be a multiple of 5",
        ),
        (
            json!({ "type": "string" }),
            json!({ "type": "string", "minLength": 1 }),
            "!  must now have at least 1 character",
        ),
        (
            json!({ "type": "string" }),
            json!({ "type": "string", "maxLength": 9 }),
            "!  must now have at most 9 characters",
        ),
        (
            json!({ "type": "string" }),
            json!({ "type": "string", "format": "uuid" }),
            "?  must now have the format `uuid`",
        ),
        (json!({ "type": "string" }), json!({ "type": "string", "pattern": "^a" }), "?  must now match `^a`"),
        (
            object(json!({ "id": id, "note": { "type": "string" } })),
            json!({ "type": "object", "properties": { "id": id }, "required": ["id"], "additionalProperties": false }),
            "! /* other fields are no longer taken\n! /note this field is no longer taken",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" } }),
            json!({ "type": "array", "items": { "type": "string", "maxLength": 2 }, "maxItems": 3, "uniqueItems": true }),
            "!  equal items are no longer taken\n!  must now have at most 3 items\n! /* must now have at most 2 characters",
        ),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "string" }], "minItems": 2, "maxItems": 2 }),
            json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "integer" }], "minItems": 2, "maxItems": 2 }),
            "! /1 the type was string, and is now integer",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "number" } }),
            json!({ "type": "object", "properties": { "a/b": { "type": "integer" } }, "additionalProperties": { "type": "number" } }),
            "! /a~1b the type was number, and is now integer",
        ),
        (json!({ "type": "string" }), json!(false), "!  string is no longer taken"),
    ] {
        check(old, new, expected);
    }
}

#[test]
fn what_is_not_understood_may_break_where_it_differs() {
    let not = |schema: Value| json!({ "type": "object", "not": schema });
    check(
        not(json!({ "required": ["a"] })),
        not(json!({ "required": ["b"] })),
        "?  differs in `not`, which is not understood",
    );
    check(not(json!({ "required": ["a"] })), json!({ "not": { "required": ["a"] }, "title": "same" }), "");
    // The text of the reference is the same, and what it leads to is not.
    let refers =
        |to: Value| json!({ "type": "object", "not": { "$ref": "#/$defs/A" }, "$defs": { "A": to } });
    check(
        refers(json!({ "required": ["a"] })),
        refers(json!({})),
        "?  differs in `not`, which is not understood",
    );
    let tail =
        |extra: Value| json!({ "type": "object", "properties": extra, "unevaluatedProperties": false });
    check(
        tail(json!({ "a": {}, "b": {} })),
        tail(json!({ "a": {} })),
        "?  differs in `unevaluatedProperties`, which is not understood",
    );
    check(
        json!({ "$ref": "https://example.org/a" }),
        json!({ "$ref": "https://example.org/b" }),
        "?  differs in `$ref`, which is not understood",
    );
    check(
        json!({ "type": "fancy" }),
        json!({ "type": "fancier" }),
        "?  differs in `type`, which is not understood",
    );
}

/// The schemas that schemars makes of enums, in each of serde's representations.
fn variants(names: &[(&str, Value)], how: &str) -> Value {
    let each = names.iter().map(|(name, fields)| match how {
        "external" => {
            json!({ "type": "object", "properties": { *name: fields }, "required": [name], "additionalProperties": false })
        }
        "internal" => {
            let mut schema = fields.clone();
            schema["properties"]["kind"] = json!({ "type": "string", "const": name });
            schema["required"] = json!(["kind"]);
            schema
        }
        _ => fields.clone(),
    });
    let key = if how == "untagged" { "anyOf" } else { "oneOf" };
    json!({ key: each.collect::<Vec<_>>() })
}

#[test]
fn variants_are_matched_by_what_tells_them_apart() {
    let fields = |id: &str| json!({ "type": "object", "properties": { "id": { "type": id } } });
    for how in ["external", "internal"] {
        let both = variants(&[("card", fields("string")), ("cash", fields("string"))], how);
        let more = variants(
            &[("cash", fields("string")), ("wire", fields("null")), ("card", fields("string"))],
            how,
        );
        let less = variants(&[("card", fields("string")), ("wire", fields("null"))], how);
        let other = variants(&[("card", fields("integer")), ("cash", fields("string"))], how);
        check(both.clone(), more, "");
        let (gone, at) = match how {
            "external" => ("an object with `cash`", "/card/id"),
            _ => ("an object with `kind` = `\"cash\"`", "/id"),
        };
        check(both.clone(), less, &format!("!  {gone} is no longer taken"));
        check(both, other, &format!("! {at} the type was string, and is now integer"));
    }
    let both = variants(&[("", fields("string")), ("", json!({ "type": "string" }))], "untagged");
    let less = variants(&[("", fields("string")), ("", json!({ "type": "null" }))], "untagged");
    check(both, less, "!  string is no longer taken");
}

#[test]
fn schemas_that_refer_to_themselves_are_compared() {
    let tree = |leaf: &str| {
        json!({
            "$ref": "#/$defs/Tree",
            "$defs": { "Tree": {
                "type": "object",
                "properties": {
                    "leaf": { "type": leaf },
                    "children": { "type": "array", "items": { "$ref": "#/$defs/Tree" } },
                    "left": { "anyOf": [{ "$ref": "#/$defs/Tree" }, { "type": "null" }] },
                },
                "required": ["leaf"],
            } },
        })
    };
    check(tree("integer"), tree("number"), "");
    let narrower = found(&tree("number"), &tree("integer"));
    assert!(narrower.contains("! /leaf the type was number, and is now integer"), "{narrower}");
    check(
        json!({ "$ref": "#" }),
        json!({ "$ref": "#", "type": "string" }),
        "!  the type was any JSON, and is now string",
    );
}

#[test]
fn a_schema_of_many_values_is_compared_in_a_moment() {
    let values = |n: u32| json!({ "enum": (0..n).map(|n| format!("v{n}")).collect::<Vec<_>>() });
    check(values(150), values(151), "");
    check(values(151), values(150), "!  `\"v150\"` is no longer taken");
}

/// A small source of schemas and values: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => json!(null),
            1 => json!(self.below(2) == 0),
            2 => json!(self.below(4)),
            3 => json!(self.below(4) as f64 + 0.5),
            4 | 5 => json!(self.pick(&["", "a", "bb", "ccc"])),
            6 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let names = ["a", "b", "c"].into_iter().filter(|_| self.below(2) == 0).collect::<Vec<_>>();
                Value::Object(
                    names.into_iter().map(|name| (name.to_owned(), self.value(depth - 1))).collect(),
                )
            }
        }
    }

    fn schema(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 12 }) {
            0 => self.pick(&[json!(true), json!(true), json!(false), json!({ "type": "null" })]),
            1 => json!({ "type": "integer", "minimum": self.below(3), "exclusiveMaximum": self.below(5) }),
            2 => json!({ "type": self.pick(&["number", "integer"]), "multipleOf": self.below(2) + 1 }),
            3 => json!({ "type": "string", "minLength": self.below(2), "maxLength": self.below(4) }),
            4 => json!({ "enum": [self.value(1), self.value(1)] }),
            5 => {
                json!({ "type": [self.pick(&["string", "null"]), self.pick(&["integer", "number"])], "minimum": 1 })
            }
            6 => json!({ "type": "array", "items": self.schema(depth - 1), "maxItems": self.below(3) }),
            7 => {
                json!({ "type": "array", "prefixItems": [self.schema(depth - 1)], "items": self.schema(depth - 1) })
            }
            8 => {
                json!({ self.pick(&["anyOf", "oneOf", "allOf"]): [self.schema(depth - 1), self.schema(depth - 1)] })
            }
            9 => json!({ "not": self.schema(0) }),
            _ => json!({
                "type": "object",
                "properties": { "a": self.schema(depth - 1), "b": self.schema(depth - 1) },
                "required": self.pick(&[json!([]), json!(["a"]), json!(["a", "b"])]),
                // Said, since what is not said is taken to be absent.
                "additionalProperties": self.pick(&[json!(true), json!(false), json!({ "type": "string" })]),
            }),
        }
    }

    /// The same schema with some of it drawn anew.
    fn change(&mut self, schema: &Value, depth: u32) -> Value {
        if self.below(6) == 0 {
            return self.schema(depth);
        }
        match schema {
            Value::Object(fields) => {
                let of = |dice: &mut Self, (name, value): (&String, &Value)| match name.as_str() {
                    "properties" => {
                        let each = value.as_object().into_iter().flatten();
                        let each = each.map(|(name, value)| (name.clone(), dice.change(value, 0)));
                        (name.clone(), Value::Object(each.collect()))
                    }
                    "items" | "additionalProperties" => (name.clone(), dice.change(value, 0)),
                    "anyOf" | "oneOf" | "allOf" => {
                        let each = value.as_array().into_iter().flatten().map(|value| dice.change(value, 0));
                        (name.clone(), each.collect())
                    }
                    _ => (name.clone(), value.clone()),
                };
                Value::Object(fields.iter().map(|field| of(self, field)).collect())
            }
            other => other.clone(),
        }
    }
}

#[test]
fn what_is_called_safe_takes_every_value_that_was_taken() {
    let mut dice = Dice(7);
    let (mut safe, mut breaking, mut tried) = (0, 0, 0);
    for _ in 0..6_000 {
        let old = dice.schema(2);
        let new = dice.change(&old, 2);
        if old == new {
            continue;
        }
        let found = narrowings(&old, &new);
        let (was, is) = (jsonschema::validator_for(&old).unwrap(), jsonschema::validator_for(&new).unwrap());
        let values: Vec<_> = (0..40).map(|_| dice.value(2)).filter(|value| was.is_valid(value)).collect();
        tried += values.len();
        if found.is_empty() {
            safe += 1;
            for value in values {
                assert!(is.is_valid(&value), "{value} no longer fits\nold: {old}\nnew: {new}");
            }
        } else {
            breaking += usize::from(values.iter().any(|value| !is.is_valid(value)));
        }
    }
    assert!(safe > 300 && breaking > 500 && tried > 9_000, "{safe} {breaking} {tried}");
}
