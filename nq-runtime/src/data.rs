//! What a program hands to its workers: one value for each type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value that the program provides, shared by all steps: a connection pool, a client, a configuration.
/// Provided with `.data(value)` before `.start()`; a type that nobody provided is found at start.
pub struct Data<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Data<T> {
    /// Wraps a value, for calling a worker from a test.
    pub fn new(value: T) -> Self
    where
        T: Sized,
    {
        Self(Arc::new(value))
    }

    /// The shared value.
    pub fn into_inner(self) -> Arc<T> {
        self.0
    }
}

impl<T: ?Sized> Clone for Data<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Data<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Data<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that the program provides, by type.
#[derive(Clone, Default)]
pub struct Provided {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Provided {
    /// Adds a value; a second one of the same type takes its place.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Data<T>> {
        let value = self.values.get(&TypeId::of::<T>())?.clone();
        value.downcast().ok().map(Data)
    }

    /// The value of this type, or the error that names it.
    pub fn require<T: Send + Sync + 'static>(&self) -> Result<Data<T>, MissingData> {
        self.get().ok_or(MissingData { type_name: type_name::<T>() })
    }
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided").field("values", &self.values.len()).finish()
    }
}

/// A worker needs a value that the program does not provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody provided a `{type_name}`; add `.data(…)` with one before `.start()`")]
pub struct MissingData {
    /// The type.
    pub type_name: &'static str,
}
