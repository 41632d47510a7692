//! Does every program in the README and the guide compile? Each of them is a doctest of this file.

macro_rules! pages {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[doc = include_str!(concat!("../../", $path))]
        pub struct $name;
    )*};
}

pages! {
    Readme: "README.md",
    FirstSchema: "docs/guide/first-schema.md",
    ErrorsAndRetries: "docs/guide/errors-and-retries.md",
    Effects: "docs/guide/effects.md",
    Undo: "docs/guide/undo.md",
    Waiting: "docs/guide/waiting.md",
    Loops: "docs/guide/loops.md",
    Retention: "docs/guide/retention.md",
    ChangingASchema: "docs/guide/changing-a-schema.md",
    TestingASchema: "docs/guide/testing-a-schema.md",
    Operating: "docs/guide/operating.md",
    WritingAStore: "docs/guide/writing-a-store.md",
}
