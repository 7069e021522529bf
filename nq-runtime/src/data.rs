//! What a program hands to its workers: one value for each type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value that the program provides, shared by all steps: a connection pool, a client, a configuration.
/// Provided with `.data(value)` before `.start()`, which fails if a worker needs a type that nobody provided.
///
/// A value that is shared already is provided as an `Arc`, and so is a trait object:
///
/// ```
/// use std::sync::Arc;
/// use nq::prelude::*;
///
/// trait Bank: Send + Sync {}
/// struct TestBank;
/// impl Bank for TestBank {}
/// struct Prices(u64);
///
/// // A worker takes `bank: Data<dyn Bank>, prices: Data<Prices>`.
/// # async fn example() -> nq::Result<()> {
/// let prices = Arc::new(Prices(1999));
/// let nq = nq::open("memory:").await?
///     .data(prices.clone())
///     .data(Arc::new(TestBank) as Arc<dyn Bank>)
///     .start().await?;
/// # Ok(())
/// # }
///
/// // And a test calls the worker with these.
/// let bank: Data<dyn Bank> = Data::from(Arc::new(TestBank) as Arc<dyn Bank>);
/// let prices = Data::new(Prices(1999));
/// ```
pub struct Data<T: ?Sized>(Arc<T>);

impl<T: ?Sized> From<Arc<T>> for Data<T> {
    fn from(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T: ?Sized> Data<T> {
    /// Wraps a value, to call a worker from a test.
    ///
    /// ```
    /// # struct Bank;
    /// let bank = nq::Data::new(Bank);
    /// ```
    pub fn new(value: T) -> Self
    where
        T: Sized,
    {
        Self(Arc::new(value))
    }

    /// The shared value.
    ///
    /// ```
    /// let prices = nq::Data::new(vec![1999, 499]);
    /// let shared: std::sync::Arc<Vec<u64>> = prices.into_inner();
    /// ```
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
    /// For each type an `Arc` of its value, and how many values were provided before it.
    values: HashMap<TypeId, (usize, Arc<dyn Any + Send + Sync>)>,
    inserted: usize,
}

impl Provided {
    /// Adds a value; a later one of the same type replaces it. An `Arc<T>` provides `T` as well.
    ///
    /// ```
    /// let mut provided = nq::Provided::default();
    /// provided.insert(1999_u64);
    /// assert_eq!(*provided.get::<u64>().unwrap(), 1999);
    /// assert!(provided.require::<String>().is_err());
    /// ```
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), (self.inserted, Arc::new(Arc::new(value))));
        self.inserted += 1;
    }

    /// The value of this type: the last one that was provided, by itself or in an `Arc`. See [`insert`](Self::insert) for an
    /// example.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Data<T>> {
        let plain = self.values.get(&TypeId::of::<T>());
        let plain = plain.and_then(|(at, value)| Some((at, value.downcast_ref::<Arc<T>>()?)));
        let shared = self.values.get(&TypeId::of::<Arc<T>>());
        let shared = shared.and_then(|(at, value)| Some((at, &**value.downcast_ref::<Arc<Arc<T>>>()?)));
        let (_, value) = plain.into_iter().chain(shared).max_by_key(|(at, _)| **at)?;
        Some(Data(value.clone()))
    }

    /// The value of this type, or an error that names the type. See [`insert`](Self::insert) for an example.
    pub fn require<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Data<T>, MissingData> {
        self.get().ok_or(MissingData { type_name: type_name::<T>() })
    }
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

/// A worker needs a value that the program does not provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody provided a `{type_name}`; add `.data({})` before `.start()`", how(.type_name))]
pub struct MissingData {
    /// The type.
    pub type_name: &'static str,
}

/// The argument of `.data(…)` for a type of this name.
fn how(type_name: &str) -> String {
    if type_name.starts_with("dyn ") { format!("Arc::new(…) as Arc<{type_name}>") } else { "…".into() }
}
