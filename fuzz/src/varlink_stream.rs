// SPDX-License-Identifier: Apache-2.0
//! Target `varlink_stream`: bytes of a client on a connection, as messages and after an upgrade as frames.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use b2p::helpers::varlink::podman::frames;
use varlink::Connection;

/// Longest input that a socket takes without a reader, in bytes.
const MAX_INPUT: usize = 32 << 10;
/// Longest message that the connection accepts, in bytes.
const LIMIT: usize = 4096;

pub(crate) const DICTIONARY: &[&str] = &[
    "{\"method\":\"a.b.C\"}\0",
    "\0",
    "\u{1}\0\0\0\0\0\0\u{5}typed",
    "\u{3}\0\0\0\0\0\0\u{1b}{\"Width\":80,\"Height\":24}",
    "\u{5}\0\0\0\0\0\0\u{3}EOF",
];

/// - Messages are the bytes between NUL bytes, up to one that is too long or has no end.
/// - The bytes after a message are available after an upgrade, to the last byte.
/// - Frames that were read are written back unchanged, up to one that has no end. No length is trusted
///   before its bytes have arrived.
pub fn varlink_stream(data: &[u8]) {
    let data = &data[..data.len().min(MAX_INPUT)];
    messages(data);
    upgrade(data);
    streams(data);
}

fn connection(data: &[u8]) -> Connection {
    let (mut client, own) = UnixStream::pair().expect("a pair of sockets");
    client.write_all(data).expect("room for the input");
    client.shutdown(Shutdown::Write).expect("an end");
    Connection::new(own, LIMIT).expect("a connection")
}

fn messages(data: &[u8]) {
    let mut connection = connection(data);
    let mut rest = data;
    while let Ok(Some(message)) = connection.receive() {
        let (expected, after) = rest.split_at(message.len());
        assert!(message == expected && !message.contains(&0));
        rest = after.strip_prefix(b"\0").expect("the end of a message");
    }
    // Without a NUL byte in reach, or with the end of the input.
    let end = rest.iter().position(|byte| *byte == 0);
    assert!(end.is_none_or(|end| end > LIMIT), "{end:?}");
}

fn upgrade(data: &[u8]) {
    let mut connection = connection(data);
    let Ok(Some(message)) = connection.receive() else {
        return;
    };
    let mut raw = connection.into_raw();
    let mut after = std::mem::take(&mut raw.early);
    std::io::Read::read_to_end(&mut raw.input, &mut after).expect("the rest");
    assert_eq!(after, data[message.len() + 1..]);
}

fn streams(data: &[u8]) {
    let mut written = Vec::new();
    let read = frames::each(data, |stream, payload| {
        let mut bytes = Vec::new();
        payload.read_to_end(&mut bytes)?;
        frames::write(&mut written, stream, &bytes)
    });
    match read {
        Ok(()) => assert_eq!(written.len(), data.len()),
        // The last frame is incomplete.
        Err(_) => assert!(written.len() <= data.len() + frames::HEADER),
    }
    let mut read_again = 0;
    frames::each(&written[..], |_, payload| {
        let mut bytes = Vec::new();
        payload.read_to_end(&mut bytes)?;
        read_again += frames::HEADER + bytes.len();
        Ok(())
    })
    .expect("frames");
    assert_eq!(read_again, written.len());
}
