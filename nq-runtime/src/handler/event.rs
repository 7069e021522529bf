//! The schema of an event's type, and a function that reads a payload as that type.

use nq_core::def::Misfit;
use nq_core::limits;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// The JSON Schema of an event. Says the range of each integer type, which `schemars` only names.
pub fn schema<E: schemars::JsonSchema>() -> schemars::Schema {
    let settings = SchemaSettings::default().with_transform(RecursiveTransform(nq_core::export::ranges));
    settings.into_generator().into_root_schema_for::<E>()
}

/// Reads a value as an event, to learn whether the worker will be able to.
pub fn read<E: DeserializeOwned>(value: &Value) -> Result<(), Misfit> {
    let Err(error) = serde_json::from_value::<E>(value.clone()) else { return Ok(()) };
    // A value that does not fit is read a second time, to find the place.
    let pointer = serde_path_to_error::deserialize::<_, E>(value.clone()).err();
    let pointer = pointer.map(|error| pointer_of(error.path())).unwrap_or_default();
    Err(Misfit { pointer, message: limits::display(error) })
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    limits::cut(path.iter().map(segment).collect::<String>())
}
