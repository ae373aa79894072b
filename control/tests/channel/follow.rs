// SPDX-License-Identifier: Apache-2.0
//! Clients that follow the report: their number, their notices, and their end.

use control::{Follower, MAX_FOLLOWERS};

use super::*;

/// Connects followers, one after the other, and returns the result of each.
fn follow(server: &mut Server, path: &Path, count: usize) -> Vec<Result<Follower, RequestError>> {
    let one = |server: &mut Server| {
        let path = path.to_owned();
        let client = thread::spawn(move || Follower::connect(&path, LONG));
        while !client.is_finished() {
            server.accept(0);
            for (client, request) in server.requests() {
                assert_eq!(request, Ok(Request::Follow));
                server.follow(client);
            }
            wait_readable(server, PollTimeout::from(1_u8));
        }
        client.join().unwrap()
    };
    (0..count).map(|_| one(server)).collect()
}

#[test]
fn followers_hear_of_changes_and_are_bounded() {
    let dir = TestDir::new("follow");
    let mut server = dir.server();
    let mut followers = follow(&mut server, &dir.path(), MAX_FOLLOWERS + 1);
    let refused = followers.pop().unwrap().unwrap_err();
    assert_eq!(
        refused,
        RequestError::Refused("32 clients follow already".into())
    );
    let mut followers: Vec<Follower> = followers.into_iter().map(Result::unwrap).collect();
    let heard = |followers: &[Follower]| {
        let heard: Vec<_> = followers.iter().map(Follower::take_notices).collect();
        assert!(heard.iter().all(|one| *one == heard[0]), "{heard:?}");
        heard[0].clone()
    };
    assert_eq!(heard(&followers), Ok(false));
    for (report, expected) in [("a", true), ("a", false), ("b", true), ("", true)] {
        server.notice(report.to_owned());
        assert_eq!(heard(&followers), Ok(expected), "{report}");
    }
    // Clients that leave wake PID 1 once, and make room.
    followers.truncate(1);
    assert_eq!(readable(&server), MAX_FOLLOWERS as i32 - 1);
    assert!(server.requests().is_empty() && readable(&server) == 0);
    let new = follow(&mut server, &dir.path(), 1).remove(0).unwrap();
    // A new follower gets its first notice even if other followers have a notice of the same
    // report.
    server.notice(String::from("c"));
    assert_eq!(new.take_notices(), Ok(true));
    assert_eq!(followers[0].take_notices(), Ok(true));
    drop(server);
    assert_eq!(new.take_notices(), Err(RequestError::NoAnswer));
}

#[test]
fn a_follower_that_does_not_read_costs_no_wait_and_misses_nothing() {
    let dir = TestDir::new("slow");
    let mut server = dir.server();
    let slow = follow(&mut server, &dir.path(), 1).remove(0).unwrap();
    for number in 0..20_000 {
        server.notice(number.to_string());
    }
    assert!(server.is_followed());
    assert_eq!(slow.take_notices(), Ok(true));
    assert_eq!(slow.take_notices(), Ok(false));
    server.notice("the next".to_owned());
    assert_eq!(slow.take_notices(), Ok(true));
    drop(slow);
    assert!(server.requests().is_empty());
    assert!(!server.is_followed());
}

#[test]
fn a_follower_that_speaks_is_dropped() {
    let dir = TestDir::new("speaks");
    let mut server = dir.server();
    let client = connect_client(&dir.path());
    send_packet(&client, b"follow");
    server.accept(0);
    let (pending, request) = server.requests().remove(0);
    assert_eq!(request, Ok(Request::Follow));
    server.follow(pending);
    assert_eq!(receive(&client).as_deref(), Ok("ok\n"));
    send_packet(&client, b"status");
    assert_eq!(readable(&server), 1);
    assert!(server.requests().is_empty() && !server.is_followed());
    assert_eq!(readable(&server), 0);
}
