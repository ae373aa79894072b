// SPDX-License-Identifier: Apache-2.0
//! Tests of changes of units.

use std::time::Duration;

use super::*;

/// A unit limits the time of its start itself, and may pull an image for any time.
#[test]
fn a_start_of_a_unit_is_awaited_until_up_or_failed() {
    for (script, outcome) in [
        (
            &["service web starting late=0", "service web up pid=7"][..],
            "up after",
        ),
        (
            &[
                "service web waiting late=0\nservice db starting",
                "service web up pid=7",
            ],
            "up after",
        ),
        (
            &["service web waiting late=0\nservice db delayed"],
            "web: still waiting",
        ),
        (
            &["service web waiting late=0\nservice log starting"],
            "web: still waiting",
        ),
    ] {
        let mut fake = Fake::new("unit", "service web off", script);
        fake.env.are_units = true;
        fake.own("web", "exec /x\nneeds db\n");
        let mut change = begin(&fake.env, Verb::Start, Name::new("web").unwrap()).unwrap();
        change.start = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
        let said = wait(&fake.env, &change).unwrap_or_else(|why| why.to_string());
        assert!(said.starts_with(outcome), "{script:?}: {said}");
    }
}
