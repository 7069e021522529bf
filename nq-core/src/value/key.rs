//! Writes the keys of maps as strings, since JSON has no other keys.

use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::fault::Fault;

/// Writes a key. Numbers, booleans and the names of enum variants become strings, as `serde_json` writes them.
pub(super) struct Key;

fn no_string() -> Fault {
    Fault::new("a map has a key that is no string; write it as a list of pairs")
}

macro_rules! plain {
    ($($method:ident: $type:ty,)*) => { $(
        fn $method(self, value: $type) -> Result<String, Fault> {
            Ok(value.to_string())
        }
    )* };
}

macro_rules! float {
    ($($method:ident: $type:ty,)*) => { $(
        fn $method(self, value: $type) -> Result<String, Fault> {
            if value.is_finite() { Ok(serde_json::Value::from(value).to_string()) } else { Err(no_string()) }
        }
    )* };
}

impl Serializer for Key {
    type Ok = String;
    type Error = Fault;
    type SerializeSeq = Impossible<String, Fault>;
    type SerializeTuple = Impossible<String, Fault>;
    type SerializeTupleStruct = Impossible<String, Fault>;
    type SerializeTupleVariant = Impossible<String, Fault>;
    type SerializeMap = Impossible<String, Fault>;
    type SerializeStruct = Impossible<String, Fault>;
    type SerializeStructVariant = Impossible<String, Fault>;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_str: &str,
    }

    float! {
        serialize_f32: f32,
        serialize_f64: f64,
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_none(self) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_unit(self) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String, Fault> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String, Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, Fault> {
        Err(no_string())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Fault> {
        Err(no_string())
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Fault> {
        Err(no_string())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Fault> {
        Err(no_string())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Fault> {
        Err(no_string())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Fault> {
        Err(no_string())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Fault> {
        Err(no_string())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Fault> {
        Err(no_string())
    }
}
