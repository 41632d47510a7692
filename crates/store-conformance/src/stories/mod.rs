//! Does an engine keep what the whole vocabulary of steps promises, on a real store? Stories of what is
//! done at most once, undone, cancelled, settled by hand, waited for and signalled.
//!
//! Each story gets a fresh database ([`Ground`](crate::under_faults::Ground)) and puts processes on it
//! (`town`). It knows nothing of the store, so that it says the same on each. A store's author adds one
//! line, in a module of its own:
//!
//! ```text
//! store_conformance::stories_suite!(fresh);
//! ```

#![expect(missing_docs, reason = "the name of a story is its promise")]

pub mod effects;
mod town;

/// Makes one test for each story. The function, which is in the module around this line's, makes a fresh
/// [`Ground`](crate::under_faults::Ground).
#[macro_export]
macro_rules! stories_suite {
    ($ground:ident) => {
        $crate::stories_suite!($ground: effects:
            what_dies_inside_a_step_that_is_done_at_most_once_is_in_doubt_and_not_tried_again,
        );
    };
    ($ground:ident: $topic:ident: $($promise:ident,)*) => {
        mod $topic {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let story = $crate::stories::$topic::$promise(super::super::$ground().await);
                    $crate::run_within_limit(stringify!($promise), story).await;
                }
            )*
        }
    };
}
