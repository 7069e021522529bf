//! What is written, what is refused, and where.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[derive(Serialize)]
enum Shape {
    Unit,
    New(u8),
    Tuple(u8, f64),
    Struct { a: Option<u8>, b: f32 },
}

#[derive(Serialize)]
struct All {
    signed: (i8, i16, i32, i64, i128),
    unsigned: (u8, u16, u32, u64, u128),
    floats: (f32, f64, f64),
    texts: (char, &'static str, String),
    list: Vec<Shape>,
    numbered: BTreeMap<i32, bool>,
    nothing: (),
    /// Looks like JSON's own.
    any: Value,
}

fn all() -> All {
    All {
        signed: (-1, 0, 100, i64::MIN, -5),
        unsigned: (0, 9, 10, u64::MAX, 7),
        floats: (0.1, 1e300, -0.0),
        texts: ('ü', "\"\\\n\u{1}\u{7f}", String::new()),
        list: vec![Shape::Unit, Shape::New(1), Shape::Tuple(2, 3.5), Shape::Struct { a: None, b: 0.5 }],
        numbered: [(-1, true), (2, false)].into(),
        nothing: (),
        any: json!({ "a": [1, -2.5, null, { "": [] }], "b": {} }),
    }
}

/// Arrays in each other.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn what_is_written_and_measured_is_what_serde_json_writes() {
    let written = write(&all()).unwrap();
    assert_eq!(written.value, serde_json::to_value(all()).unwrap());
    assert_eq!(written.bytes, written.value.to_string().len());
    assert_eq!(measure(&written.value), Ok(written.bytes));
}

#[test]
fn the_limit_of_depth_is_exact_for_arrays_objects_and_variants() {
    #[derive(Serialize)]
    enum Link {
        End,
        Next(Box<Link>),
        Far { next: Box<Link> },
    }
    let link = |depth| (0..depth).fold(Link::End, |inner, _| Link::Next(Box::new(inner)));
    let far = |depth| (0..depth / 2).fold(Link::End, |inner, _| Link::Far { next: Box::new(inner) });
    let objects = |depth| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(write(&nested(MAX_DEPTH)).is_ok() && measure(&nested(MAX_DEPTH)).is_ok());
    assert!(write(&objects(MAX_DEPTH)).is_ok() && measure(&objects(MAX_DEPTH)).is_ok());
    assert!(write(&link(MAX_DEPTH)).is_ok() && write(&far(MAX_DEPTH)).is_ok());
    for error in [
        write(&nested(MAX_DEPTH + 1)).map(|_| ()),
        measure(&nested(MAX_DEPTH + 1)).map(|_| ()),
        write(&objects(MAX_DEPTH + 1)).map(|_| ()),
        measure(&objects(MAX_DEPTH + 1)).map(|_| ()),
        write(&link(MAX_DEPTH + 1)).map(|_| ()),
        write(&far(MAX_DEPTH + 2)).map(|_| ()),
    ] {
        assert!(error.as_ref().is_err_and(ValueError::is_too_deep), "{error:?}");
    }
    // Each is read back from text, with more around it than any store writes.
    let text = (0..32).fold(nested(MAX_DEPTH), |inner, _| json!([inner])).to_string();
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

// Recursion over the whole value would end the process: each level takes stack.
#[test]
fn a_value_of_any_depth_is_refused_and_given_up() {
    let value = nested(100_000);
    let error = measure(&value).unwrap_err();
    assert_eq!(write(&value).map(|_| ()), Err(error.clone()));
    dismantle(value);
    let says = format!("at `/0/0/0/0/0/0/… {} levels …/0/0/0` it is nested deeper", MAX_DEPTH - 9);
    assert!(error.to_string().starts_with(&says), "{error}");
    give_up(nested(100_000), &error);
    give_up(nested(MAX_DEPTH + 1), &error);
}

#[test]
fn what_json_does_not_have_is_refused_with_its_place() {
    #[derive(Serialize)]
    struct Order {
        items: Vec<Item>,
    }
    #[derive(Serialize)]
    struct Item {
        #[serde(rename = "unit/price")]
        price: f64,
    }
    let order = |price| Order { items: vec![Item { price: 1.0 }, Item { price }] };
    for price in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let said = format!("at `/items/1/unit~1price`: JSON has no number for {price}");
        assert_eq!(write(&order(price)).unwrap_err().to_string(), said);
    }
    assert_eq!(write(&f32::NAN).unwrap_err().to_string(), "JSON has no number for NaN");
    assert_eq!(
        write(&[Shape::Tuple(1, f64::NAN)]).unwrap_err().to_string(),
        "at `/0/Tuple/1`: JSON has no number for NaN"
    );
    assert_eq!(
        write(&Shape::Struct { a: None, b: f32::NAN }).unwrap_err().to_string(),
        "at `/Struct/b`: JSON has no number for NaN"
    );
    let pairs: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
    assert_eq!(
        write(&json!({ "a": 1 }))
            .map(|_| ())
            .and(write(&BTreeMap::from([("pairs", pairs)])))
            .unwrap_err()
            .to_string(),
        "at `/pairs`: a map has a key that is no string; write it as a list of pairs"
    );
    assert!(write(&u128::MAX).unwrap_err().to_string().contains("out of range"));
}

#[test]
fn a_long_way_to_a_fault_is_shown_without_its_middle() {
    for (depth, pointer) in [
        (9, "/0/1/2/3/4/5/6/7/8"),
        (10, "/0/1/2/3/4/5/6/7/8/9"),
        (11, "/0/1/2/3/4/5/… 2 levels …/8/9/10"),
        (MAX_DEPTH, "/0/1/2/3/4/5/… 55 levels …/61/62/63"),
    ] {
        struct Way(usize, usize);
        impl Serialize for Way {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self(at, end) = *self;
                if at == end {
                    return serializer.serialize_f64(f64::NAN);
                }
                serializer.collect_map([(at.to_string(), Way(at + 1, end))])
            }
        }
        let error = write(&Way(0, depth)).unwrap_err();
        assert_eq!(error.to_string(), format!("at `{pointer}`: JSON has no number for NaN"));
    }
}
