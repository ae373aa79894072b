// SPDX-License-Identifier: Apache-2.0
//! Target `varlink_message`: messages of clients, and descriptions and addresses from elsewhere.

use varlink::idl::Description;
use varlink::{Address, Call, Reply, Target};

pub(crate) const DICTIONARY: &[&str] = &[
    "{\"method\":\"io.podman.Ps\",\"parameters\":",
    "\"more\":true",
    "\"oneway\":true",
    "\"upgrade\":true",
    "\"continues\":true",
    "\"error\":\"",
    "null",
    "1e999",
    "\\u0000",
    "interface a.b\n",
    "type A (",
    "method A(a: int) -> ()\n",
    "error A (",
    "?[]",
    "[string]",
    "# comment\n",
    "unix:/run/x",
    "unix:@",
    "tcp:[::1]:1",
    ";mode=0600",
    "%2F",
];

/// - A call and a reply are read back unchanged, and have one NUL byte, the last.
/// - A description in the usual form is read back unchanged.
/// - The parts of a target have no more text than the target.
pub fn varlink_message(data: &[u8]) {
    if let Ok(call) = Call::parse(data) {
        let message = call.encode();
        let again = Call::parse(framed(&message)).expect("a call");
        assert_eq!(
            Call {
                malformed: call.malformed,
                ..again
            },
            call
        );
    }
    if let Ok(reply) = Reply::parse(data) {
        let message = reply.encode();
        assert_eq!(Reply::parse(framed(&message)).expect("a reply"), reply);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(description) = Description::parse(text) {
        let form = description.format();
        let again = Description::parse(&form).expect("the usual form");
        assert_eq!(again.format(), form);
    }
    let _ = Address::parse(text);
    let target = Target::parse(text);
    let length = target.name.len() + target.address.map_or(0, |address| address.len());
    // A byte that is no UTF-8 becomes a character of three.
    assert!(length <= 3 * text.len());
}

fn framed(message: &[u8]) -> &[u8] {
    let (last, rest) = message.split_last().expect("a message");
    assert!(*last == 0 && !rest.contains(&0));
    rest
}
