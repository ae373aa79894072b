// SPDX-License-Identifier: Apache-2.0
//! Floods of connections, and clients that vanish, stay silent or send too much.

use super::*;

#[test]
fn a_silent_client_costs_a_descriptor_and_no_wake_up() {
    let dir = TestDir::new("silent");
    let mut server = dir.server();
    let clients: Vec<_> = (0..3).map(|_| connect_client(&dir.path())).collect();
    assert_eq!(poll_once(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 4);
    assert_eq!((readable(&server), server.deadline(0)), (0, None));
    // The silent clients do not delay a request of another one.
    let fourth = connect_client(&dir.path());
    send_packet(&fourth, b"status");
    assert_eq!(poll_once(&mut server, "ok\n"), 1);
    assert_eq!(receive(&fourth), Ok("ok\n".into()));
    drop(clients);
    assert_eq!(readable(&server), 3);
    assert_eq!(poll_once(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 1);
}

#[test]
fn the_oldest_makes_room() {
    let dir = TestDir::new("oldest");
    let mut server = dir.server();
    let mut clients = Vec::new();
    for _ in 0..9 {
        clients.push(connect_client(&dir.path()));
        server.accept(0);
    }
    assert_eq!(server.fds(0).count(), 1 + 8);
    assert_eq!(receive(&clients[0]), Ok(String::new()), "closed");
    for client in &clients[1..] {
        send_packet(client, b"status");
    }
    assert_eq!(poll_once(&mut server, "ok\n"), 8);
    assert!(clients[1..].iter().all(|c| receive(c) == Ok("ok\n".into())));
}

#[test]
fn a_client_with_a_request_is_not_dropped() {
    let dir = TestDir::new("pending");
    let mut server = dir.server();
    let silent = connect_client(&dir.path());
    let clients: Vec<_> = (0..12).map(|_| connect_client(&dir.path())).collect();
    clients
        .iter()
        .for_each(|client| send_packet(client, b"status"));
    assert_eq!(poll_once(&mut server, "ok\n"), 12);
    assert!(clients.iter().all(|c| receive(c) == Ok("ok\n".into())));
    assert_eq!(receive(&silent), Ok(String::new()), "closed");
}

#[test]
fn a_flood_of_connections_leaves_nothing() {
    let dir = TestDir::new("flood");
    let mut server = dir.server();
    for round in 0..500 {
        let clients: Vec<_> = (0..12).map(|_| connect_client(&dir.path())).collect();
        for (at, client) in clients.iter().enumerate() {
            // Some of them are dropped to make room before their packet is read.
            let text: &[u8] = if at % 2 == 0 { b"status" } else { b"\xff\0" };
            let _ = send(client.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL);
        }
        assert!(poll_once(&mut server, "ok\n") <= 12, "round {round}");
    }
    poll_once(&mut server, "ok\n");
    poll_once(&mut server, "ok\n");
    assert_eq!(server.fds(0).count(), 1);
    assert_eq!(readable(&server), 0);
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let dir = TestDir::new("vanish");
    let mut server = dir.server();
    let client = connect_client(&dir.path());
    send_packet(&client, b"status");
    server.accept(0);
    drop(client);
    // The request is carried out; its answer cannot be delivered.
    assert_eq!(poll_once(&mut server, &"ok\n".repeat(10_000)), 1);
    let client = connect_client(&dir.path());
    server.accept(0);
    drop(client);
    assert_eq!(poll_once(&mut server, "ok\n"), 0);
    assert_eq!(server.fds(0).count(), 1);
}

#[test]
fn half_open_connections() {
    let dir = TestDir::new("half");
    let mut server = dir.server();
    let clients: Vec<_> = (0..3).map(|_| connect_client(&dir.path())).collect();
    send_packet(&clients[0], b"status");
    shutdown(clients[0].as_raw_fd(), Shutdown::Write).unwrap();
    shutdown(clients[1].as_raw_fd(), Shutdown::Write).unwrap();
    send_packet(&clients[2], b"status");
    shutdown(clients[2].as_raw_fd(), Shutdown::Read).unwrap();
    // The first client has sent all and reads, the second will never send, the third does not
    // read.
    assert_eq!(poll_once(&mut server, "ok\n"), 2);
    assert_eq!(receive(&clients[0]), Ok("ok\n".into()));
    assert_eq!((server.fds(0).count(), readable(&server)), (1, 0));
}

#[test]
fn too_long_and_nonsense_are_refused() {
    let dir = TestDir::new("long");
    let mut server = dir.server();
    for (text, reply) in [
        (vec![b'a'; 256], "no no such request\n"),
        (vec![b'a'; 257], "no the request is too long\n"),
        (vec![b'a'; 100_000], "no the request is too long\n"),
        (b"status\n".to_vec(), "no a request is printable ASCII\n"),
        (b"\0".to_vec(), "no a request is printable ASCII\n"),
    ] {
        let client = connect_client(&dir.path());
        send_packet(&client, &text);
        assert_eq!(poll_once(&mut server, "ok\n"), 1);
        assert_eq!(receive(&client).as_deref(), Ok(reply));
    }
    let client = connect_client(&dir.path());
    send_packet(&client, b"");
    assert_eq!(poll_once(&mut server, "ok\n"), 0);
    assert_eq!(receive(&client), Ok(String::new()), "empty: an end");
}

#[test]
fn without_descriptors_the_server_pauses_and_does_not_spin() {
    // A process of its own, because the limit of descriptors is for all of its threads.
    let exe = std::env::current_exe().unwrap();
    let ended = std::process::Command::new(exe)
        .args(["--ignored", "--exact", "abuse::child_without_descriptors"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success());
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above"]
fn child_without_descriptors() {
    let dir = TestDir::new("starved");
    let mut server = dir.server();
    let first = connect_client(&dir.path());
    let second = connect_client(&dir.path());
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    server.accept(10_000);
    assert_eq!(
        server.fds(10_000).count(),
        0,
        "no client is accepted during the pause"
    );
    assert_eq!(server.deadline(10_000), Some(11_000));
    hoard.clear();
    server.accept(10_500);
    assert_eq!(server.fds(10_500).count(), 0);
    server.accept(11_000);
    assert_eq!(server.fds(11_000).count(), 3);
    assert_eq!(server.deadline(11_000), None);
    drop((first, second));
}
