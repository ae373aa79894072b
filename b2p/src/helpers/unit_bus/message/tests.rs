// SPDX-License-Identifier: Apache-2.0
//! Tests of messages, with bytes that other programs write.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// A call in the forms of busctl(1) and godbus: fields in another order, a destination, both byte
/// orders.
fn call(is_big: bool) -> Vec<u8> {
    let number = |n: u32| match is_big {
        true => n.to_be_bytes(),
        false => n.to_le_bytes(),
    };
    let mut bytes = vec![if is_big { b'B' } else { b'l' }, 1, 0, 1];
    let body = |bytes: &mut Vec<u8>, text: &str| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(number(u32::try_from(text.len()).unwrap()));
        bytes.extend(text.as_bytes());
        bytes.push(0);
    };
    let mut arguments = Vec::new();
    body(&mut arguments, "web.service");
    body(&mut arguments, "replace");
    let mut fields = Vec::new();
    for (code, kind, text) in [
        (3, b's', "RestartUnit"),
        (6, b's', "org.freedesktop.systemd1"),
        (1, b'o', "/org/freedesktop/systemd1"),
        (8, b'g', "ss"),
        (2, b's', "org.freedesktop.systemd1.Manager"),
    ] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind, 0]);
        match kind {
            b'g' => fields.extend([2, b's', b's', 0]),
            _ => body(&mut fields, text),
        }
    }
    for n in [arguments.len(), 7, fields.len()] {
        bytes.extend(number(u32::try_from(n).unwrap()));
    }
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(arguments);
    bytes
}

#[test]
fn a_call_in_both_byte_orders_whole_and_in_parts() {
    for is_big in [false, true] {
        let bytes = call(is_big);
        let expected = Call {
            serial: 7,
            expects_reply: true,
            interface: "org.freedesktop.systemd1.Manager".to_owned(),
            member: "RestartUnit".to_owned(),
            arguments: vec!["web.service".to_owned(), "replace".to_owned()],
        };
        for n in 0..bytes.len() {
            assert_eq!(parse(&bytes[..n]), Ok(None), "{n}");
        }
        let twice = [&bytes[..], &bytes].concat();
        assert_eq!(parse(&twice), Ok(Some((Some(expected), bytes.len()))));
    }
}

#[test]
fn malformed_messages_are_refused() {
    let mut bytes = call(false);
    bytes[0] = b'x';
    assert_eq!(parse(&bytes), Err(Malformed));
    let mut bytes = call(false);
    bytes[7] = 0x7f;
    assert_eq!(parse(&bytes), Err(Malformed), "a body of 2 GB");
    let reply = reply(7, &[]);
    assert_eq!(parse(&reply), Ok(Some((None, reply.len()))));
}

#[test]
fn a_reply_and_a_signal_byte_by_byte() {
    // The reply's one field: serial 7, then the signature of its body, a path.
    let bytes = reply(7, &[Argument::Path("/job/1")]);
    let fields = b"\x05\x01u\0\x07\0\0\0\x08\x01g\0\x01o\0";
    let header = [
        b"l\x02\x01\x01\x0b\0\0\0\x01\0\0\0\x0f\0\0\0",
        &fields[..],
        b"\0",
    ]
    .concat();
    assert_eq!(bytes, [&header[..], b"\x06\0\0\0/job/1\0"].concat());
    let bytes = signal(
        "/a",
        "b.C",
        "D",
        &[Argument::Number(1), Argument::Text("x")],
    );
    assert_eq!(bytes.len() % 2, 0);
    assert_eq!(parse(&bytes), Ok(Some((None, bytes.len()))));
    assert!(bytes.ends_with(b"\x01\0\0\0\x01\0\0\0x\0"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0_u8..3) {
        let start: &[u8] = match start { 0 => b"", 1 => b"l\x01\0\x01", _ => b"B\x01\0\x01\0\0\0\x10\0\0\0\x01\0\0\0\x20" };
        let bytes = [start, &bytes].concat();
        if let Ok(Some((_, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len() && length >= FIXED_BYTES);
        }
    }
}
