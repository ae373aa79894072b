// SPDX-License-Identifier: Apache-2.0
//! Tests of the messages of sd_notify(3).

use super::*;

#[test]
fn no_end_of_a_main_process_is_taken_for_a_condition_or_a_limit() {
    assert_eq!(
        [0, 1, 252, 253, 254, 255].map(crate::helpers::quadlet::run::own_status),
        [0, 1, 252, 252, 252, 255]
    );
}

#[test]
fn what_a_message_says() {
    for (text, right) in [
        ("READY=1\nMAINPID=12", &[Event::Main(12), Event::Ready][..]),
        ("MAINPID=12\nSTATUS=x\n", &[Event::Main(12)]),
        ("READY=10\nMAINPID=x\nMAINPID=1", &[]),
        ("WATCHDOG=1\n", &[Event::Watchdog]),
        ("EXTEND_TIMEOUT_USEC=30000000", &[Event::Extend(30_000)]),
        ("EXTEND_TIMEOUT_USEC=x", &[]),
        ("", &[]),
    ] {
        assert_eq!(message(text), right, "{text:?}");
    }
}
