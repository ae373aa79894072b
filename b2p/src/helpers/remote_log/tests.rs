// SPDX-License-Identifier: Apache-2.0
//! The service as a process, with receivers on the loopback interface.
#![expect(unsafe_code, reason = "descriptors known by their numbers")]

use super::*;
use crate::common::testing::{self, Running, Temp, nonblocking, packet_pair, wait_until};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

const NAME: &str = "helpers::remote_log::tests::helper_process_not_a_test";
/// Size of the buffer of a receiver that reads nothing.
const RECEIVE_BYTES: usize = 64 << 10;
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// Runs the service with 3 as the ring and the receiver in a file; not a test of its own.
#[test]
#[ignore = "the program that the other tests run"]
fn helper_process_not_a_test() {
    let dir = std::env::var_os(testing::DIR).expect("run by a test");
    let dir = Path::new(&dir);
    // SAFETY: `Running::start` has put the descriptor there, for this function alone.
    let ring = Ring::of(File::from(unsafe { OwnedFd::from_raw_fd(3) }));
    let flag = fs::read_to_string(dir.join("flag")).expect("a test wrote it");
    let receiver = config::parse(flag.as_bytes(), &[]).0.rsyslog;
    let stop = Stop::new().expect("handlers");
    let position = dir.join("position");
    Forwarder::new(ring, receiver.expect("a receiver"), &position).run(&stop);
    std::process::exit(0);
}

struct Service {
    temp: Temp,
    kernel: File,
    running: Running,
}

impl Service {
    fn start(to: &str) -> Service {
        let temp = Temp::new();
        let (kernel, running) = Service::child(&temp, to);
        Service {
            temp,
            kernel,
            running,
        }
    }

    fn child(temp: &Temp, to: &str) -> (File, Running) {
        fs::write(temp.path("flag"), format!("b2p.rsyslog={to}")).expect("a file");
        let (kernel, ring) = packet_pair();
        nonblocking(&ring);
        let running = Running::start(NAME, temp.dir(), &[ring]);
        (File::from(kernel), running)
    }

    fn restart(&mut self, to: &str) {
        self.running.end();
        (self.kernel, self.running) = Service::child(&self.temp, to);
    }

    fn record(&mut self, record: &str) {
        let written = self.kernel.write(record.as_bytes());
        assert_eq!(written.expect("it reads"), record.len());
    }
}

/// Returns a message's APP-NAME and the part after MSGID.
fn shown(message: &str) -> String {
    let fields: Vec<&str> = message.splitn(7, ' ').collect();
    let text = fields[6]
        .replace("[meta sequenceId=", "")
        .replace("\"]", "\"");
    format!("{} {text}", fields[3])
}

fn datagram(socket: &UdpSocket) -> String {
    let mut bytes = [0; 2000];
    let length = socket.recv(&mut bytes).expect("a datagram");
    shown(std::str::from_utf8(&bytes[..length]).expect("UTF-8"))
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(PATIENCE).expect("an option");
    let address = socket.local_addr().expect("an address").to_string();
    (socket, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(PATIENCE).expect("an option");
    stream
}

/// Reads one frame of RFC 6587.
fn frame(stream: &mut TcpStream) -> String {
    let mut digits = String::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("a length");
        match byte[0] {
            b' ' => break,
            digit => digits.push(char::from(digit)),
        }
    }
    let mut bytes = vec![0; digits.parse().expect("a number")];
    stream.read_exact(&mut bytes).expect("a message");
    shown(std::str::from_utf8(&bytes).expect("UTF-8"))
}

#[test]
fn datagrams_arrive_and_a_restart_continues() {
    let (socket, address) = udp();
    let mut service = Service::start(&address);
    service.record("6,0,1,-;Linux version 6.12\n");
    service.record("30,1,2,-;sshd[812]: Accepted\n KEY=1\n");
    service.record("14,5,3,-;net: up\n");
    assert_eq!(datagram(&socket), "kernel \"1\" Linux version 6.12");
    assert_eq!(datagram(&socket), "sshd \"2\" Accepted");
    let lost = "remote-log - 3 records lost: overwritten before they were sent";
    assert_eq!(datagram(&socket), lost);
    assert_eq!(datagram(&socket), "net \"6\" up");
    service.running.settle();
    service.record("14,6,4,-;net: down\n");
    assert_eq!(datagram(&socket), "net \"7\" down");
    service.restart(&address);
    for seq in 0..8 {
        service.record(&format!("14,{seq},4,-;x: {seq}\n"));
    }
    assert_eq!(datagram(&socket), "x \"8\" 7", "the others had been sent");
    service.running.end();
}

#[test]
fn a_connection_is_made_again_and_no_record_is_sent_in_part() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("{},tcp", listener.local_addr().expect("an address"));
    let mut service = Service::start(&address);
    let mut stream = accept(&listener);
    service.record("6,0,1,-;first\n");
    assert_eq!(frame(&mut stream), "kernel \"1\" first");
    drop(stream);
    let mut stream = accept(&listener);
    service.record("6,1,1,-;second\n");
    assert_eq!(frame(&mut stream), "kernel \"2\" second");
    service.running.settle();
    service.record("6,2,1,-;last words\n");
    service.running.end();
    assert_eq!(frame(&mut stream), "kernel \"3\" last words");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

/// The test's ring takes no more than the receiver does, as the kernel's would overwrite.
#[test]
fn a_receiver_that_reads_nothing_costs_neither_memory_nor_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    // The kernel would else take up to net.ipv4.tcp_rmem for this connection: 33 MB on some hosts.
    setsockopt(&listener, RcvBuf, &RECEIVE_BYTES).expect("a size");
    let address = format!("{},tcp", listener.local_addr().expect("an address"));
    let mut service = Service::start(&address);
    let mut stream = accept(&listener);
    nonblocking(&service.kernel.try_clone().expect("a descriptor").into());
    let text = "x".repeat(900);
    let mut seq = 0;
    let mut refused = 0;
    wait_until("the way to the receiver is full", || {
        let record = format!("6,{seq},1,-;{text}\n");
        match service.kernel.write(record.as_bytes()) {
            Ok(_) => (seq, refused) = (seq + 1, 0),
            Err(_) => refused += 1,
        }
        refused > 20
    });
    service.running.settle();
    for n in 1..=seq {
        assert_eq!(frame(&mut stream), format!("kernel \"{n}\" {text}"));
    }
    service.record(&format!("6,{},1,-;after\n", seq + 9));
    assert!(frame(&mut stream).contains(" 9 records lost: "));
    assert_eq!(frame(&mut stream), format!("kernel \"{}\" after", seq + 10));
    service.running.end();
}

#[test]
fn a_missing_receiver_is_retried_and_the_service_stops_at_once() {
    let (socket, address) = udp();
    drop(socket);
    let mut service = Service::start(&address);
    service.record("6,0,1,-;nobody hears this\n");
    service.record("6,1,1,-;second\n");
    service.running.settle();
    let begun = now();
    service.running.end();
    assert!(now() - begun < 2_000, "{} ms", now() - begun);
    let mut service = Service::start("127.0.0.1:9,tcp");
    service.running.settle();
    service.running.end();
}
