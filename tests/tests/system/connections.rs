//! Are four connections enough for many keys? The server itself holds the process to them.

use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::Call;

use crate::victim;

/// With so many lanes, one reader, one connection for the steps' transactions and one for liveness.
fn many_keys_of_three_steps(schema: &str, lanes: u32) {
    const KEYS: usize = 64;
    let place = Place::fresh(Kind::Postgres);
    let role = place.role("secret", Some(4));
    let mut process = victim(&place)
        .option("url", &role.url)
        .without("notebook")
        .option("lanes", lanes)
        .option("readers", 1)
        .option("transactions", 1)
        .ready();
    let calls: Vec<Call> = (0..KEYS)
        .map(|number| process.run(schema, &format!("k{number}"), Policy::Attach))
        .collect();
    for call in calls {
        assert_eq!(process.answer(call).map(|nonces| nonces.len()), Ok(3));
    }
}

#[test]
fn many_keys_do_not_starve_on_four_connections() {
    // No step has a transaction of its own, so that the connection for them is never opened.
    many_keys_of_three_steps("three", 2);
}

#[test]
fn many_transactional_steps_do_not_starve_on_four_connections() {
    many_keys_of_three_steps("booked", 1);
}
