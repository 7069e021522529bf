//! A library of workers: what it waits for comes from the program that includes it.

pub mod events;
mod steps;

nq::registry!(library);
