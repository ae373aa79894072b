// SPDX-License-Identifier: Apache-2.0
//! The service as a process: its socket, its output, its end.
#![expect(unsafe_code, reason = "descriptors known by their numbers")]

use super::*;
use crate::common::testing::{Running, Temp, packet_pair};
use nix::sys::socket::{ControlMessage, sendmsg};
use std::fs::File;
use std::io::{IoSlice, Read};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

const NAME: &str = "helpers::syslog::tests::helper_process_not_a_test";

/// Runs the service with 3 as `/dev/log` and 4 as the kernel log; not a test of its own.
#[test]
#[ignore = "the program that the other tests run"]
fn helper_process_not_a_test() {
    // SAFETY: `Running::start` has put them there, for this function alone.
    let [socket, out] = [3, 4].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let stop = Stop::new().expect("handlers");
    let mut service = Service {
        socket,
        relay: Relay::new(File::from(out), message::parse, b"box"),
    };
    service.run(&stop);
    std::process::exit(0);
}

/// Starts and returns the service, with a socket that is connected to it, and its output.
fn start(temp: &Temp) -> (Running, UnixDatagram, File) {
    let path = temp.path("dev-log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    // PID 1 sets the option, too.
    setsockopt(&socket, sockopt::PassCred, &true).expect("an option");
    let (out, output) = packet_pair();
    let running = Running::start(NAME, temp.dir(), &[socket.into(), out]);
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.connect(path).expect("it is bound");
    (running, sender, File::from(output))
}

/// Reads one record.
fn record(output: &mut File) -> String {
    let mut bytes = [0; 2048];
    let length = output.read(&mut bytes).expect("a record");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn a_flood_blocks_no_sender_and_dropped_messages_are_counted() {
    const FLOOD: u64 = 100_000;
    let temp = Temp::new();
    let (mut running, sender, mut output) = start(&temp);
    let pid = std::process::id();
    let reader = std::thread::spawn(move || {
        let (mut lines, mut dropped) = (0, 0);
        loop {
            let text = record(&mut output);
            let report = text.strip_prefix("<44>syslog: ");
            match report.and_then(|t| t.split(' ').next()) {
                Some(count) => dropped += count.parse::<u64>().expect("a number"),
                None if text.is_empty() => return (lines, dropped),
                None => {
                    assert_eq!(text, format!("<14>flood[{pid}]: a line of the flood\n"));
                    lines += 1;
                }
            }
        }
    });
    // A send that waits for ten seconds is one that the service does not read.
    let patience = Some(Duration::from_secs(10));
    sender.set_write_timeout(patience).expect("an option");
    let line = format!("<14>Nov 23 20:30:38 flood[{pid}]: a line of the flood");
    let begun = Instant::now();
    for sent in 0..FLOOD {
        let result = sender.send(line.as_bytes());
        result.unwrap_or_else(|e| panic!("after {sent}: {e}"));
    }
    running.end();
    let seconds = begun.elapsed().as_secs() + 1;
    let (lines, dropped) = reader.join().expect("no panic");
    assert_eq!(lines + dropped, FLOOD, "every line is written or counted");
    let bounds = 500..=500 + 100 * seconds;
    assert!(bounds.contains(&lines), "{lines} in {seconds} s");
}

#[test]
fn descriptors_that_come_along_are_not_kept() {
    let temp = Temp::new();
    let (mut running, sender, mut output) = start(&temp);
    sender.send(b"<13>x: first").expect("it is read");
    record(&mut output);
    let before = running.descriptors();
    let fds = [sender.as_raw_fd()];
    for _ in 0..10 {
        let rights = [ControlMessage::ScmRights(&fds)];
        let iov = [IoSlice::new(b"<13>x: y")];
        let sent = sendmsg::<()>(sender.as_raw_fd(), &iov, &rights, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(8));
        let text = record(&mut output);
        // The kernel cuts the control data short, and the reader does not look for the sender's
        // name in the rest.
        assert!(
            text.starts_with("<13>65534/x[") && text.ends_with("]: y\n"),
            "{text}"
        );
    }
    assert_eq!(running.descriptors(), before);
    running.end();
}
