// SPDX-License-Identifier: Apache-2.0
//! Tests of the notify socket, with datagrams of this process.

use std::io::IoSlice;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::*;

/// Returns the next message. A child may receive it: each call of `receive` returns at once.
fn next(notify: &mut Notify) -> Message {
    loop {
        let start = Instant::now();
        let message = notify.receive(0);
        assert!(start.elapsed() < Duration::from_millis(500), "it waits");
        if let Some(message) = message {
            return message;
        }
        let mut fds = [PollFd::new(notify.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 10_000u16), Ok(1));
    }
}

#[test]
fn descriptors_of_the_sender_cost_neither_a_message_nor_a_descriptor() {
    let path = std::env::temp_dir().join(format!("b2p-notify-{}", std::process::id()));
    let mut notify = Notify::bind(&path).expect("a socket");
    let client = UnixDatagram::unbound().expect("a socket");
    client.connect(&path).expect("connected");
    // An end of a pair that only the message holds: its peer sees the end when the message is
    // dropped.
    let (peer, passed) = UnixDatagram::pair().expect("a pair");
    for count in [0, 1, 253] {
        let descriptors = vec![passed.as_raw_fd(); count];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights = if count == 0 { &[][..] } else { &rights };
        let text = [IoSlice::new(b"READY=1")];
        sendmsg::<()>(client.as_raw_fd(), &text, rights, MsgFlags::empty(), None).expect("sent");
    }
    drop(passed);
    let own = Pid::try_from(std::process::id()).expect("a pid");
    for _ in 0..3 {
        let message = next(&mut notify);
        assert_eq!((message.pid, message.ready), (own, true));
    }
    assert_eq!(notify.receive(0), None);
    let is_closed = || peer.send(b"x").is_err();
    let end = Instant::now() + Duration::from_secs(10);
    while !is_closed() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_closed(), "nobody has the other end");
    std::fs::remove_file(path).expect("it is there");
}

/// A connection whose close waits: its peer reads nothing, and its buffers are full (SO_LINGER, socket(7)).
fn lingering() -> (std::net::TcpListener, std::net::TcpStream) {
    use std::io::Write;
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 20,
    };
    setsockopt(&stream, sockopt::Linger, &linger).expect("set");
    stream.set_nonblocking(true).expect("set");
    while stream.write(&[0; 1 << 16]).is_ok() {}
    (server, stream)
}

/// Binds a socket, and sends to the socket a connection that lingers.
fn with_lingering(name: &str) -> (Notify, UnixDatagram, std::net::TcpListener) {
    let path = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
    let notify = Notify::bind(&path).expect("a socket");
    let client = UnixDatagram::unbound().expect("a socket");
    client.connect(&path).expect("connected");
    std::fs::remove_file(path).expect("it is there");
    let (server, stream) = lingering();
    let descriptors = [stream.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let text = [IoSlice::new(b"x")];
    sendmsg::<()>(client.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).expect("sent");
    drop(stream); // The message has the stream as well.
    (notify, client, server)
}

#[test]
fn a_descriptor_whose_close_waits_does_not_delay_the_socket() {
    let (mut notify, client, _server) = with_lingering("linger");
    client.send(b"READY=1").expect("sent");
    let start = Instant::now();
    assert!(!next(&mut notify).ready && next(&mut notify).ready);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_socket_that_nobody_has_read_is_closed_at_once() {
    let (notify, client, _server) = with_lingering("unread");
    let start = Instant::now();
    sys::syscall::close_in_child(vec![notify.into()]);
    while client.send(b"READY=1").is_ok() {}
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_pause_ends() {
    let (mut notify, _client, _server) = with_lingering("pause");
    notify.paused_until = Some(1_000);
    notify.tick(999);
    assert_eq!(
        (notify.deadline(), notify.receive(999)),
        (Some(1_000), None)
    );
    notify.tick(1_000);
    assert!(notify.deadline().is_none() && !next(&mut notify).ready);
}

#[test]
fn a_child_that_receives_nothing_is_killed_after_its_time() {
    let (mut notify, _client, _server) = with_lingering("late");
    assert_eq!(notify.receive(0), None);
    assert_eq!(notify.deadline(), Some(DISCARD_MS));
    notify.tick(DISCARD_MS);
    let pause = Some(DISCARD_MS + PAUSE_MS);
    assert_eq!((notify.deadline(), notify.discards.len()), (pause, 1));
}

#[test]
fn understands_ready_and_status_and_ignores_the_rest() {
    let m = parse(7, b"MAINPID=9\nSTATUS=hello\nREADY=1\nX_DEGRADED=1\n");
    assert_eq!(
        m,
        Message {
            pid: 7,
            ready: true,
            degraded_written: true,
            status: Some("hello".into())
        }
    );
    assert!(!parse(7, b"READY=10\nXREADY=1\n\xff\xfe").ready);
}
