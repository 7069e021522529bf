//! Tests of the Redis store against servers of their own.
