//! Which schema has golden histories? One that never changes: what it stored years ago must go on.
//!
//! Its outputs are the same in every run, so that they compare byte for byte.

use std::sync::Arc;
use std::time::Duration;

use keystep::{Retry, Schema};

use super::releases::marked::Maker;
use super::releases::stamps::Stamp;
use crate::protocol::Trail;
use crate::releases::Release;

/// Longer than any golden history is kept.
const RETENTION: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);

/// The schema, by its name. The new release does not have it, but another of this name.
pub(crate) fn schemas(release: Release) -> Vec<(String, Schema<Trail, Trail>)> {
    const NAME: &str = "golden";
    let last = if release == Release::New { "post" } else { "send" };
    let maker = Arc::new(Maker {
        shape: format!("reserve pay stamp(Stamp) {last}"),
        code: "golden".to_owned(),
        anonymous: true,
        ..Maker::default()
    });
    let code = || {
        let maker = Arc::clone(&maker);
        move |cx, trail| Arc::clone(&maker).run(cx, trail)
    };
    let stamp = Stamp::new("pay".to_owned(), "indigo").anonymous();
    let schema = Schema::new(NAME)
        .retention(RETENTION)
        .step("reserve", code())
        .step("pay", code())
        .retry(Retry::none())
        .stored_step("stamp", stamp)
        .step(last, code())
        .build();
    vec![(NAME.to_owned(), schema)]
}
