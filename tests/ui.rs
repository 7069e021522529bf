//! What must not compile, and what rustc says to it: one rule in each file of `tests/ui/fail`. The texts beside
//! them are reviewed like an interface; `TRYBUILD=overwrite cargo test --test ui` writes them.

#[test]
fn what_must_not_compile_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
