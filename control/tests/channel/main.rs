// SPDX-License-Identifier: Apache-2.0
//! Tests of both ends of the channel over a real socket. `abuse` has the clients that PID 1 must
//! survive, `follow` those that follow the report.
#![allow(clippy::unwrap_used)]

mod abuse;
mod follow;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use control::{
    MAX_ANSWER_BYTES, Request, RequestError, Server, ShutdownKind, answer, ask, refusal,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, recv, send,
    setsockopt, shutdown, socket, sockopt,
};

/// Time limit of every wait, longer than any of them takes.
const LONG: Duration = Duration::from_secs(20);

/// Temporary directory of one test.
struct TestDir(PathBuf);

impl TestDir {
    fn new(name: &str) -> TestDir {
        let dir = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        TestDir(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.join("run/control")
    }

    fn server(&self) -> Server {
        Server::bind_for(&self.path(), |_| true).unwrap()
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect_client(path: &Path) -> OwnedFd {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let fd = socket(AddressFamily::Unix, kind, flags, None).unwrap();
    connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    fd
}

fn send_packet(client: &OwnedFd, text: &[u8]) {
    let sent = send(client.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL);
    assert_eq!(sent, Ok(text.len()));
}

fn receive(client: &OwnedFd) -> Result<String, Errno> {
    let mut buffer = vec![0; 2 * MAX_ANSWER_BYTES];
    let len = recv(client.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
    buffer.truncate(len);
    Ok(String::from_utf8(buffer).unwrap())
}

/// Returns the number of the server's descriptors that wake PID 1 within `timeout`.
fn wait_readable(server: &Server, timeout: PollTimeout) -> i32 {
    let fds = server.fds(0).map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    poll(&mut fds.collect::<Vec<_>>(), timeout).unwrap()
}

/// Returns the number of the server's descriptors that would wake PID 1 now.
fn readable(server: &Server) -> i32 {
    wait_readable(server, PollTimeout::ZERO)
}

/// Handles the channel as PID 1 does at one wake-up. Returns the number of requests.
fn poll_once(server: &mut Server, reply: &str) -> usize {
    server.accept(0);
    let requests = server.requests();
    let count = requests.len();
    for (client, request) in requests {
        match request {
            Ok(_) => answer(client, reply),
            Err(why) => answer(client, &refusal(&why.to_string())),
        }
    }
    count
}

/// Serves in a thread until `count` requests have been answered.
fn serve(mut server: Server, count: usize, reply: String) -> thread::JoinHandle<Server> {
    thread::spawn(move || {
        let (start, mut done) = (Instant::now(), 0);
        while done < count && start.elapsed() < LONG {
            done += poll_once(&mut server, &reply);
            wait_readable(&server, PollTimeout::from(50_u8));
        }
        server
    })
}

#[test]
fn a_server_that_starts_again_is_awaited() {
    let dir = TestDir::new("again");
    drop(dir.server());
    let path = dir.path();
    let asking = std::thread::spawn(move || ask(&path, &Request::Status, LONG));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let server = serve(dir.server(), 1, "ok\nback\n".into());
    let answer = asking.join().unwrap();
    assert_eq!(answer.as_deref(), Ok("back\n"));
    drop(server.join().unwrap());
}

#[test]
fn a_request_and_its_answer_are_one_packet_each() {
    let dir = TestDir::new("one");
    let server = serve(dir.server(), 2, "ok\nmachine now=3\n".into());
    let path = dir.path();
    let answer = ask(&path, &Request::Status, LONG);
    assert_eq!(answer.as_deref(), Ok("machine now=3\n"));
    assert!(ask(&path, &Request::Shutdown(ShutdownKind::Halt, 5), LONG).is_ok());
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(server.join().unwrap());
    assert_eq!(
        ask(&path, &Request::Status, LONG),
        Err(RequestError::NotListening)
    );
    let nowhere = dir.0.join("nowhere");
    assert_eq!(
        ask(&nowhere, &Request::Status, LONG),
        Err(RequestError::NotListening)
    );
}

#[test]
fn a_refusal_comes_with_its_reason() {
    let dir = TestDir::new("refuse");
    let server = serve(dir.server(), 1, refusal("no such service"));
    let answer = ask(&dir.path(), &Request::Status, LONG);
    assert_eq!(answer, Err(RequestError::Refused("no such service".into())));
    server.join().unwrap();
}

#[test]
fn a_stale_socket_is_replaced() {
    let dir = TestDir::new("stale");
    drop(dir.server());
    let mut server = dir.server();
    let client = connect_client(&dir.path());
    send_packet(&client, b"status");
    assert_eq!(poll_once(&mut server, "ok\n"), 1);
    assert_eq!(receive(&client), Ok("ok\n".into()));
}

#[test]
fn only_allowed_users_are_answered() {
    let dir = TestDir::new("nobody");
    let mut server = Server::bind_for(&dir.path(), |_| false).unwrap();
    let client = connect_client(&dir.path());
    server.accept(0);
    assert_eq!(receive(&client), Ok("no only root may\n".into()));
    assert_eq!(receive(&client), Ok(String::new()));
    assert_eq!(server.fds(0).count(), 1);
    let path = dir.path();
    let asking = thread::spawn(move || ask(&path, &Request::Status, LONG));
    let start = Instant::now();
    while !asking.is_finished() && start.elapsed() < LONG {
        server.accept(0);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(asking.join().unwrap(), Err(RequestError::NotRoot));
    // The request of this client arrives before the client is refused.
    let client = connect_client(&dir.path());
    send_packet(&client, b"poweroff");
    server.accept(0);
    assert_eq!(receive(&client), Ok("no only root may\n".into()));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_long_answer_is_cut_at_a_line() {
    let dir = TestDir::new("cut");
    let mut server = dir.server();
    let reply = format!("ok\n{}", "service web up pid=7\n".repeat(4_000));
    let client = connect_client(&dir.path());
    send_packet(&client, b"status");
    poll_once(&mut server, &reply);
    let got = receive(&client).unwrap();
    assert!(got.len() <= MAX_ANSWER_BYTES && got.len() > MAX_ANSWER_BYTES - 30);
    assert!(
        got.ends_with("service web up pid=7\ncut\n"),
        "{}",
        &got[got.len() - 40..]
    );
    let report = control::Report::parse(&got[3..]);
    assert!(report.truncated && report.services.len() > 3_000);
}

#[test]
fn a_small_buffer_gets_a_short_answer() {
    // A small buffer at the server's end has the effect of a client with little room.
    let dir = TestDir::new("small");
    let mut server = dir.server();
    let client = connect_client(&dir.path());
    send_packet(&client, b"status");
    server.accept(0);
    for fd in server.fds(0).skip(1) {
        setsockopt(&fd.as_fd(), sockopt::SndBuf, &1).unwrap();
    }
    let reply = format!("ok\n{}", "phase a 1 2\n".repeat(4_000));
    poll_once(&mut server, &reply);
    let got = receive(&client).unwrap();
    assert!(got.starts_with("ok\nphase") && got.ends_with("phase a 1 2\ncut\n"));
}

#[test]
fn a_missing_answer_is_reported_in_time() {
    let dir = TestDir::new("timeout");
    let _server = dir.server();
    let start = Instant::now();
    let answer = ask(&dir.path(), &Request::Status, Duration::from_millis(200));
    assert_eq!(answer, Err(RequestError::NoAnswer));
    assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < LONG);
    // The time limit also holds while the queue is full.
    let mut many = Vec::new();
    for _ in 0..40 {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_NONBLOCK);
        let fd = socket(AddressFamily::Unix, kind, flags, None).unwrap();
        let address = UnixAddr::new(&dir.path()).unwrap();
        let full = connect(fd.as_raw_fd(), &address) == Err(Errno::EAGAIN);
        many.push(fd);
        if full {
            break;
        }
    }
    assert!(many.len() < 40, "the queue has an end");
    let answer = ask(&dir.path(), &Request::Status, Duration::from_millis(50));
    assert_eq!(answer, Err(RequestError::NoAnswer));
}
