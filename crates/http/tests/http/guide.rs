//! Is the program in the guide the one that compiles?

#[test]
fn the_guide_shows_the_program_as_it_is() {
    let guide = include_str!("../../../../docs/guide/idempotent-http.md");
    let program = include_str!("../../examples/notes.rs");
    let (_question, program) = program.split_once("\n\n").expect("a head");
    assert!(
        guide.contains(program),
        "docs/guide/idempotent-http.md shows another program"
    );
    assert!(program.lines().count() < 60);
}
