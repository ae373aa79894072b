// SPDX-License-Identifier: Apache-2.0
//! Target `dbus`: messages that clients of systemd's manager send.

use b2p::helpers::unit_bus::message::{Argument, parse, reply};

pub(crate) const DICTIONARY: &[&str] = &[
    "l\x01\0\x01",
    "B\x01\0\x01",
    "\x01\x01o\0",
    "\x02\x01s\0\x20\0\0\0org.freedesktop.systemd1.Manager\0",
    "\x03\x01s\0\x0b\0\0\0RestartUnit\0",
    "\x08\x01g\0\x02ss\0",
    "\x05\x01u\0\x07\0\0\0",
    "\x0b\0\0\0web.service\0",
    "\0\0\0\0",
];

/// - A message is no longer than the bytes, and is read in the same way if more bytes follow.
/// - A reply is a message, of its own length.
pub fn dbus(data: &[u8]) {
    let Ok(Some((call, length))) = parse(data) else {
        return;
    };
    assert!(length <= data.len());
    let alone = data.get(..length).map(parse);
    assert_eq!(alone, Some(Ok(Some((call.clone(), length)))));
    if let Some(call) = call {
        let texts = call.arguments.iter().map(|text| Argument::Text(text));
        let bytes = reply(call.serial, &texts.collect::<Vec<_>>());
        assert_eq!(parse(&bytes), Ok(Some((None, bytes.len()))));
    }
}
