//! What does the compiler say about a mistake in a schema? Each message must name the cause.
//!
//! The recorded messages are those of the pinned toolchain; after a change of it, read the new ones
//! and record them with `TRYBUILD=overwrite`.

#[test]
fn a_mistake_in_a_schema_gets_a_message_that_names_the_cause() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
