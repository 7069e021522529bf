//! Writes a value as JSON, counting bytes and levels.

use std::cell::Cell;

use serde::Serialize;
use serde::ser::{self, SerializeStruct, Serializer};
use serde_json::{Map, Value};

use super::fault::{Fault, ValueError};
use super::key::Key;
use super::length::{bool_len, measure_within, number_len, signed_len, text_len, unsigned_len};

/// A value as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The value.
    pub value: Value,
    /// How many bytes it has as JSON text.
    pub bytes: usize,
}

/// Writes a value that is nested in itself at most so many levels.
pub(super) fn write(value: &(impl Serialize + ?Sized), levels: usize) -> Result<Written, ValueError> {
    let bytes = Cell::new(0);
    let value = value.serialize(Writer { levels, bytes: &bytes }).map_err(Fault::finish)?;
    Ok(Written { value, bytes: bytes.get() })
}

/// Writes one value.
#[derive(Clone, Copy)]
struct Writer<'a> {
    /// How many arrays and objects may still lie in each other here.
    levels: usize,
    bytes: &'a Cell<usize>,
}

/// The types by which `serde_json` passes values to itself that serde's data model does not have: long numbers and raw
/// JSON, if the program turns these features on.
const FOREIGN: &str = "$serde_json::private::";

impl Writer<'_> {
    fn count(self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    fn text(self, text: String) -> Value {
        self.count(text_len(&text));
        Value::String(text)
    }

    /// What a part of this value is written with.
    fn inner(self) -> Result<Self, Fault> {
        let levels = self.levels.checked_sub(1).ok_or_else(Fault::too_deep)?;
        Ok(Self { levels, bytes: self.bytes })
    }

    /// What the content of an enum variant is written with, which is an object with one field.
    fn variant(self, variant: &str) -> Result<Self, Fault> {
        self.count(2 + text_len(variant) + 1);
        self.inner()
    }

    /// What `serde_json` itself makes of a value.
    fn json(self, value: serde_json::Result<Value>) -> Result<Value, Fault> {
        let value = value.map_err(Fault::new)?;
        self.count(measure_within(&value, self.levels)?);
        Ok(value)
    }

    fn list(self, len: Option<usize>, variant: Option<&'static str>) -> Result<List<Self>, Fault> {
        self.count(2);
        // What a type says of its length is a hint.
        let items = Vec::with_capacity(len.unwrap_or_default().min(1024));
        Ok(List { items, writer: self.inner()?, variant })
    }

    fn fields(self, variant: Option<&'static str>) -> Result<Fields<Self>, Fault> {
        self.count(2);
        Ok(Fields { map: Map::new(), key: None, writer: self.inner()?, variant })
    }
}

fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        None => value,
        Some(variant) => Value::Object(Map::from_iter([(variant.to_owned(), value)])),
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty, $wide:ty, $len:ident;)*) => { $(
        fn $method(self, value: $type) -> Result<Value, Fault> {
            self.count($len(<$wide>::from(value)));
            Ok(value.into())
        }
    )* };
}

macro_rules! floats {
    ($($method:ident: $type:ty,)*) => { $(
        fn $method(self, value: $type) -> Result<Value, Fault> {
            let Value::Number(number) = Value::from(value) else {
                return Err(Fault::new(format_args!("JSON has no number for {value}")));
            };
            self.count(number_len(&number));
            Ok(Value::Number(number))
        }
    )* };
}

impl Serializer for Writer<'_> {
    type Ok = Value;
    type Error = Fault;
    type SerializeSeq = List<Self>;
    type SerializeTuple = List<Self>;
    type SerializeTupleStruct = List<Self>;
    type SerializeTupleVariant = List<Self>;
    type SerializeMap = Fields<Self>;
    type SerializeStruct = Struct<Self>;
    type SerializeStructVariant = Fields<Self>;

    integers! {
        serialize_i8: i8, i64, signed_len;
        serialize_i16: i16, i64, signed_len;
        serialize_i32: i32, i64, signed_len;
        serialize_i64: i64, i64, signed_len;
        serialize_u8: u8, u64, unsigned_len;
        serialize_u16: u16, u64, unsigned_len;
        serialize_u32: u32, u64, unsigned_len;
        serialize_u64: u64, u64, unsigned_len;
    }

    floats! {
        serialize_f32: f32,
        serialize_f64: f64,
    }

    fn serialize_bool(self, value: bool) -> Result<Value, Fault> {
        self.count(bool_len(value));
        Ok(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Fault> {
        self.json(serde_json::to_value(value))
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Fault> {
        self.json(serde_json::to_value(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, Fault> {
        Ok(self.text(value.into()))
    }

    fn serialize_str(self, value: &str) -> Result<Value, Fault> {
        Ok(self.text(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Fault> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<Value, Fault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Fault> {
        self.count(4);
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Fault> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Fault> {
        let value = value.serialize(self.variant(variant)?).map_err(|fault| fault.under(variant))?;
        Ok(tagged(Some(variant), value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<List<Self>, Fault> {
        self.list(len, None)
    }

    fn serialize_tuple(self, len: usize) -> Result<List<Self>, Fault> {
        self.list(Some(len), None)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<Self>, Fault> {
        self.list(Some(len), None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<List<Self>, Fault> {
        self.variant(variant)?.list(Some(len), Some(variant)).map_err(|fault| fault.under(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields<Self>, Fault> {
        self.fields(None)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Struct<Self>, Fault> {
        if name.starts_with(FOREIGN) {
            let json = serde_json::value::Serializer.serialize_struct(name, len).map_err(Fault::new)?;
            return Ok(Struct::Foreign(json, self));
        }
        self.fields(None).map(Struct::Fields)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<Self>, Fault> {
        self.variant(variant)?.fields(Some(variant)).map_err(|fault| fault.under(variant))
    }
}

/// An array under way.
struct List<W> {
    items: Vec<Value>,
    writer: W,
    variant: Option<&'static str>,
}

impl List<Writer<'_>> {
    fn push(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Fault> {
        let index = self.items.len();
        self.writer.count(usize::from(index > 0));
        let item = value.serialize(self.writer).map_err(|fault| {
            let fault = fault.under(&index.to_string());
            self.variant.into_iter().fold(fault, Fault::under)
        })?;
        self.items.push(item);
        Ok(())
    }

    fn end(self) -> Value {
        tagged(self.variant, Value::Array(self.items))
    }
}

macro_rules! list {
    ($($trait:ident $method:ident;)*) => { $(
        impl ser::$trait for List<Writer<'_>> {
            type Ok = Value;
            type Error = Fault;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.push(value)
            }
            fn end(self) -> Result<Value, Fault> {
                Ok(Self::end(self))
            }
        }
    )* };
}
list! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

/// An object under way.
struct Fields<W> {
    map: Map<String, Value>,
    /// The key whose value comes next.
    key: Option<String>,
    writer: W,
    variant: Option<&'static str>,
}

impl Fields<Writer<'_>> {
    fn put(&mut self, key: String, value: &(impl Serialize + ?Sized)) -> Result<(), Fault> {
        self.writer.count(usize::from(!self.map.is_empty()) + text_len(&key) + 1);
        match value.serialize(self.writer) {
            Ok(value) => {
                self.map.insert(key, value);
                Ok(())
            }
            Err(fault) => Err(self.variant.into_iter().fold(fault.under(&key), Fault::under)),
        }
    }

    fn end(self) -> Value {
        tagged(self.variant, Value::Object(self.map))
    }
}

impl ser::SerializeMap for Fields<Writer<'_>> {
    type Ok = Value;
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.key = Some(key.serialize(Key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let key =
            self.key.take().ok_or_else(|| Fault::new("its `Serialize` writes a value without a key"))?;
        self.put(key, value)
    }

    fn end(self) -> Result<Value, Fault> {
        Ok(Self::end(self))
    }
}

impl ser::SerializeStructVariant for Fields<Writer<'_>> {
    type Ok = Value;
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.put(key.to_owned(), value)
    }

    fn end(self) -> Result<Value, Fault> {
        Ok(Self::end(self))
    }
}

/// A struct under way.
enum Struct<W> {
    Fields(Fields<W>),
    /// One of `serde_json`'s own types.
    Foreign(<serde_json::value::Serializer as Serializer>::SerializeStruct, W),
}

impl SerializeStruct for Struct<Writer<'_>> {
    type Ok = Value;
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        match self {
            Self::Fields(fields) => fields.put(key.to_owned(), value),
            Self::Foreign(json, _) => json.serialize_field(key, value).map_err(Fault::new),
        }
    }

    fn end(self) -> Result<Value, Fault> {
        match self {
            Self::Fields(fields) => Ok(fields.end()),
            Self::Foreign(json, writer) => writer.json(json.end()),
        }
    }
}
