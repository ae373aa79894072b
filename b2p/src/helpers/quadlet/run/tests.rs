// SPDX-License-Identifier: Apache-2.0
//! Tests of the messages of sd_notify(3).

use super::*;

#[test]
fn sd_notify_messages_become_events() {
    for (text, right) in [
        ("READY=1\nMAINPID=12", &[Event::Main(12), Event::Ready][..]),
        ("MAINPID=12\nSTATUS=x\n", &[Event::Main(12)]),
        ("READY=10\nMAINPID=x\nMAINPID=1", &[]),
        ("WATCHDOG=1\n", &[Event::Watchdog]),
        (
            "STOPPING=1\nWATCHDOG=trigger",
            &[Event::Trigger, Event::Stopping],
        ),
        ("EXTEND_TIMEOUT_USEC=30000000", &[Event::Extend(30_000)]),
        ("EXTEND_TIMEOUT_USEC=x", &[]),
        ("", &[]),
    ] {
        assert_eq!(message(text), right, "{text:?}");
    }
}
