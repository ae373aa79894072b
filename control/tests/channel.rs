//! Both ends of the channel, over a real socket: floods, clients that vanish,
//! stay silent, say too much or are nobody.
#![allow(clippy::unwrap_used)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use control::{Failure, LONGEST_ANSWER, Request, Server, ShutdownKind, answer, ask, no};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, recv, send,
    setsockopt, shutdown, socket, sockopt,
};

const LONG: Duration = Duration::from_secs(20);

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Place(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.join("run/control")
    }

    fn server(&self) -> Server {
        Server::bind_for(&self.path(), |_| true).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connected(path: &Path) -> OwnedFd {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let fd = socket(AddressFamily::Unix, kind, flags, None).unwrap();
    connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    fd
}

fn say(client: &OwnedFd, text: &[u8]) {
    assert_eq!(
        send(client.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL),
        Ok(text.len())
    );
}

fn heard(client: &OwnedFd) -> Result<String, Errno> {
    let mut buffer = vec![0; 2 * LONGEST_ANSWER];
    let len = recv(client.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
    buffer.truncate(len);
    Ok(String::from_utf8(buffer).unwrap())
}

/// How many of the server's descriptors would wake PID 1 now.
fn awake(server: &Server) -> i32 {
    let mut fds: Vec<_> = server
        .fds(0)
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    poll(&mut fds, PollTimeout::ZERO).unwrap()
}

/// What PID 1 does in a turn of its loop.
fn turn(server: &mut Server, reply: &str) -> usize {
    server.accept(0);
    let spoken = server.requests();
    let count = spoken.len();
    for (client, request) in spoken {
        match request {
            Ok(_) => answer(client, reply),
            Err(why) => answer(client, &no(why)),
        }
    }
    count
}

/// Serves until `count` have been answered.
fn serve(mut server: Server, count: usize, reply: String) -> thread::JoinHandle<Server> {
    thread::spawn(move || {
        let (start, mut done) = (Instant::now(), 0);
        while done < count && start.elapsed() < LONG {
            done += turn(&mut server, &reply);
            let mut fds: Vec<_> = server
                .fds(0)
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            poll(&mut fds, PollTimeout::from(50_u8)).unwrap();
        }
        server
    })
}

#[test]
fn one_packet_each_way() {
    let place = Place::new("one");
    let server = serve(place.server(), 2, "ok\nmachine now=3\n".into());
    let path = place.path();
    let answer = ask(&path, &Request::Status, LONG);
    assert_eq!(answer.as_deref(), Ok("machine now=3\n"));
    assert!(ask(&path, &Request::Shutdown(ShutdownKind::Halt, 5), LONG).is_ok());
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(server.join().unwrap());
    assert_eq!(ask(&path, &Request::Status, LONG), Err(Failure::Absent));
    let nowhere = place.0.join("nowhere");
    assert_eq!(ask(&nowhere, &Request::Status, LONG), Err(Failure::Absent));
}

#[test]
fn a_refusal_comes_with_its_reason() {
    let place = Place::new("refuse");
    let server = serve(place.server(), 1, no("no such service"));
    let answer = ask(&place.path(), &Request::Status, LONG);
    assert_eq!(answer, Err(Failure::Refused("no such service".into())));
    server.join().unwrap();
}

#[test]
fn a_stale_socket_is_replaced() {
    let place = Place::new("stale");
    drop(place.server());
    let mut server = place.server();
    let client = connected(&place.path());
    say(&client, b"status");
    assert_eq!(turn(&mut server, "ok\n"), 1);
    assert_eq!(heard(&client), Ok("ok\n".into()));
}

#[test]
fn nobody_but_who_may() {
    let place = Place::new("nobody");
    let mut server = Server::bind_for(&place.path(), |_| false).unwrap();
    let client = connected(&place.path());
    server.accept(0);
    assert_eq!(heard(&client), Ok("no only root may\n".into()));
    assert_eq!(heard(&client), Ok(String::new()));
    assert_eq!(server.fds(0).count(), 1);
    let path = place.path();
    let asking = thread::spawn(move || ask(&path, &Request::Status, LONG));
    let start = Instant::now();
    while !asking.is_finished() && start.elapsed() < LONG {
        server.accept(0);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(asking.join().unwrap(), Err(Failure::NotRoot));
    // And one whose words were there first.
    let client = connected(&place.path());
    say(&client, b"poweroff");
    server.accept(0);
    assert_eq!(heard(&client), Ok("no only root may\n".into()));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn who_never_speaks_costs_a_place_and_no_wake_up() {
    let place = Place::new("silent");
    let mut server = place.server();
    let clients: Vec<_> = (0..3).map(|_| connected(&place.path())).collect();
    assert_eq!(turn(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 4);
    assert_eq!((awake(&server), server.deadline(0)), (0, None));
    // One more speaks: the silent ones are not in its way.
    let fourth = connected(&place.path());
    say(&fourth, b"status");
    assert_eq!(turn(&mut server, "ok\n"), 1);
    assert_eq!(heard(&fourth), Ok("ok\n".into()));
    drop(clients);
    assert_eq!(awake(&server), 3);
    assert_eq!(turn(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 1);
}

#[test]
fn the_oldest_makes_room() {
    let place = Place::new("oldest");
    let mut server = place.server();
    let mut clients = Vec::new();
    for _ in 0..9 {
        clients.push(connected(&place.path()));
        server.accept(0);
    }
    assert_eq!(server.fds(0).count(), 1 + 8);
    assert_eq!(heard(&clients[0]), Ok(String::new()), "closed");
    for client in &clients[1..] {
        say(client, b"status");
    }
    assert_eq!(turn(&mut server, "ok\n"), 8);
    assert!(clients[1..].iter().all(|c| heard(c) == Ok("ok\n".into())));
}

#[test]
fn who_has_spoken_is_not_turned_out() {
    let place = Place::new("spoken");
    let mut server = place.server();
    let silent = connected(&place.path());
    let clients: Vec<_> = (0..12).map(|_| connected(&place.path())).collect();
    clients.iter().for_each(|client| say(client, b"status"));
    assert_eq!(turn(&mut server, "ok\n"), 12);
    assert!(clients.iter().all(|c| heard(c) == Ok("ok\n".into())));
    assert_eq!(heard(&silent), Ok(String::new()), "closed");
}

#[test]
fn a_flood_of_connections_leaves_nothing() {
    let place = Place::new("flood");
    let mut server = place.server();
    for round in 0..500 {
        let clients: Vec<_> = (0..12).map(|_| connected(&place.path())).collect();
        for (at, client) in clients.iter().enumerate() {
            // Some are turned out by the backlog's size before they are heard.
            let text: &[u8] = if at % 2 == 0 { b"status" } else { b"\xff\0" };
            let _ = send(client.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL);
        }
        assert!(turn(&mut server, "ok\n") <= 12, "round {round}");
    }
    turn(&mut server, "ok\n");
    turn(&mut server, "ok\n");
    assert_eq!(server.fds(0).count(), 1);
    assert_eq!(awake(&server), 0);
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let place = Place::new("vanish");
    let mut server = place.server();
    let client = connected(&place.path());
    say(&client, b"status");
    server.accept(0);
    drop(client);
    // Its request is there and done; its answer has nowhere to go.
    assert_eq!(turn(&mut server, &"ok\n".repeat(10_000)), 1);
    let client = connected(&place.path());
    server.accept(0);
    drop(client);
    assert_eq!(turn(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 1);
}

#[test]
fn half_open_connections() {
    let place = Place::new("half");
    let mut server = place.server();
    let clients: Vec<_> = (0..3).map(|_| connected(&place.path())).collect();
    say(&clients[0], b"status");
    shutdown(clients[0].as_raw_fd(), Shutdown::Write).unwrap();
    shutdown(clients[1].as_raw_fd(), Shutdown::Write).unwrap();
    say(&clients[2], b"status");
    shutdown(clients[2].as_raw_fd(), Shutdown::Read).unwrap();
    // One has said all and listens, one never will speak, one does not listen.
    assert_eq!(turn(&mut server, "ok\n"), 2);
    assert_eq!(heard(&clients[0]), Ok("ok\n".into()));
    assert_eq!((server.fds(0).count(), awake(&server)), (1, 0));
}

#[test]
fn too_long_and_nonsense_are_refused() {
    let place = Place::new("long");
    let mut server = place.server();
    for (text, reply) in [
        (vec![b'a'; 256], "no no such request\n"),
        (vec![b'a'; 257], "no the request is too long\n"),
        (vec![b'a'; 100_000], "no the request is too long\n"),
        (b"status\n".to_vec(), "no a request is printable ASCII\n"),
        (b"\0".to_vec(), "no a request is printable ASCII\n"),
    ] {
        let client = connected(&place.path());
        say(&client, &text);
        assert_eq!(turn(&mut server, "ok\n"), 1);
        assert_eq!(heard(&client).as_deref(), Ok(reply));
    }
    let client = connected(&place.path());
    say(&client, b"");
    assert_eq!(turn(&mut server, "ok\n"), 0);
    assert_eq!(
        heard(&client),
        Ok(String::new()),
        "an empty packet is an end"
    );
}

#[test]
fn a_long_answer_is_cut_at_a_line() {
    let place = Place::new("cut");
    let mut server = place.server();
    let reply = format!("ok\n{}", "service web up pid=7\n".repeat(4_000));
    let client = connected(&place.path());
    say(&client, b"status");
    turn(&mut server, &reply);
    let got = heard(&client).unwrap();
    assert!(got.len() <= LONGEST_ANSWER && got.len() > LONGEST_ANSWER - 30);
    assert!(
        got.ends_with("service web up pid=7\ncut\n"),
        "{}",
        &got[got.len() - 40..]
    );
    let report = control::Report::parse(&got[3..]);
    assert!(report.cut && report.services.len() > 3_000);
}

#[test]
fn a_small_buffer_gets_a_short_answer() {
    // The client end of an accepted pair cannot be reached from here, so the
    // server's side is made small before it answers.
    let place = Place::new("small");
    let mut server = place.server();
    let client = connected(&place.path());
    say(&client, b"status");
    server.accept(0);
    for fd in server.fds(0).skip(1) {
        setsockopt(&fd.as_fd(), sockopt::SndBuf, &1).unwrap();
    }
    turn(
        &mut server,
        &format!("ok\n{}", "phase a 1 2\n".repeat(4_000)),
    );
    let got = heard(&client).unwrap();
    assert!(got.starts_with("ok\nphase") && got.ends_with("phase a 1 2\ncut\n"));
}

#[test]
fn no_answer_is_no_longer_than_patience() {
    let place = Place::new("patience");
    let _server = place.server();
    let start = Instant::now();
    let answer = ask(&place.path(), &Request::Status, Duration::from_millis(200));
    assert_eq!(answer, Err(Failure::Silent));
    assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < LONG);
    // A full queue is waited for no longer either.
    let mut many = Vec::new();
    for _ in 0..40 {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_NONBLOCK);
        let fd = socket(AddressFamily::Unix, kind, flags, None).unwrap();
        let address = UnixAddr::new(&place.path()).unwrap();
        let full = connect(fd.as_raw_fd(), &address) == Err(Errno::EAGAIN);
        many.push(fd);
        if full {
            break;
        }
    }
    assert!(many.len() < 40, "the queue has an end");
    let answer = ask(&place.path(), &Request::Status, Duration::from_millis(50));
    assert_eq!(answer, Err(Failure::Silent));
}

#[test]
fn without_descriptors_it_pauses_and_does_not_spin() {
    // In a process of its own: the limit holds for all threads.
    let exe = std::env::current_exe().unwrap();
    let ended = std::process::Command::new(exe)
        .args(["--ignored", "--exact", "starved"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
#[ignore = "run by the test above"]
fn starved() {
    let place = Place::new("starved");
    let mut server = place.server();
    let first = connected(&place.path());
    let second = connected(&place.path());
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    server.accept(10_000);
    assert_eq!(server.fds(10_000).count(), 0, "it looks away");
    assert_eq!(server.deadline(10_000), Some(11_000));
    hoard.clear();
    server.accept(10_500);
    assert_eq!(server.fds(10_500).count(), 0);
    server.accept(11_000);
    assert_eq!(server.fds(11_000).count(), 3);
    assert_eq!(server.deadline(11_000), None);
    drop((first, second));
}
