//! What does the order service promise to those who use it? One file per subject, one test per
//! promise. The service is the real program in a process of its own; only `trial` runs its schema
//! inside the test, to stop it at every call.

/// Tests a story on both databases.
macro_rules! on_both_databases {
    ($($story:ident)+) => {$(
        mod $story {
            #[tokio::test]
            async fn on_sqlite() {
                let place = crate::server::Place::sqlite();
                super::$story(&place).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                let place = crate::server::Place::postgres();
                super::$story(&place).await;
                place.clean_up().await;
            }
        }
    )+};
}

mod access;
mod cart;
mod changes;
mod compat;
mod demo;
mod logs;
mod metrics;
mod openapi;
mod operations;
mod orders;
mod payments;
mod plan;
mod policies;
mod provider;
mod requests;
mod server;
mod services;
mod shop;
mod shutdown;
mod trial;
mod two_keys;
