//! `registry!`: a `macro_rules`, so that it can say where this crate is.

/// Proves the wiring of all workers of a crate, once, at the crate root.
///
/// - `nq::registry!();` finds the workers in all modules of the crate.
/// - `nq::registry!(include = [shipping, billing]);` adds those of libraries.
/// - `nq::registry!(library);` is what such a library says: what is missing in it may be in the program that
///   includes it.
/// - `nq::registry!(also = [a::b]);` adds workers that no file shows, because a macro makes them.
/// - `nq::registry![charge, ship];` lists workers by hand, as in a doctest.
#[macro_export]
macro_rules! registry {
    ($($args:tt)*) => {
        $crate::__private::registry! { ($crate) $($args)* }
    };
}
