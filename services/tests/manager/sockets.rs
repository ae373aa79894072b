// SPDX-License-Identifier: Apache-2.0
//! Sockets that PID 1 binds for a service.

use super::*;
use services::Socket;

#[test]
fn a_datagram_wakes_its_service() {
    let path: &'static str = format!("/tmp/manager-{}.sock", std::process::id()).leak();
    let socket = Some(Socket {
        path,
        mode: 0o600,
        uid: 0,
        gid: 0,
        datagram: true,
        on_demand: true,
    });
    let log = ServiceDef {
        socket,
        ..shell("log", "head -c 6 <&3; exec sleep 100")
    };
    let mut w = World::new(vec![log]);
    let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
    assert!(client.send_to(b"early\n", path).is_err());
    w.input(Input::Start(id(0)));
    assert_eq!(w.state(id(0)), State::Armed);
    assert_eq!(w.m.watched().len(), 1);
    client.send_to(b"hello\n", path).unwrap();
    w.until("up", up(id(0)));
    w.until("read", |_| was_logged("log: hello"));
    // Without its name no client can connect; the next start binds the socket again.
    fs::remove_file(path).unwrap();
    let first = w.state(id(0)).pid();
    w.input(Input::Restart(id(0)));
    w.until("armed or up again", |w| w.state(id(0)).pid() != first);
    w.until("reached", |_| client.send_to(b"again\n", path).is_ok());
    w.until("read again", |_| was_logged("log: again"));
    w.stop_all();
    // The socket has no reader any more, so it refuses: as soon as `head` has ended, which may
    // outlive its shell for a moment.
    w.until("refused", |_| client.send_to(b"late\n", path).is_err());
    fs::remove_file(path).unwrap();
}

#[test]
fn a_socket_that_cannot_be_bound_is_retried_after_a_delay_and_on_request() {
    let dir = format!("/tmp/manager-{}-dir", std::process::id());
    let path: &'static str = format!("{dir}/x.sock").leak();
    fs::write(&dir, "in the way").unwrap();
    let socket = Some(Socket {
        path,
        mode: 0o600,
        uid: 0,
        gid: 0,
        datagram: false,
        on_demand: true,
    });
    let mut w = World::new(vec![ServiceDef {
        socket,
        ..shell("api", "exec sleep 100")
    }]);
    w.input(Input::Start(id(0)));
    w.until("its end", is(id(0), State::Failed));
    w.input(Input::Start(id(0)));
    assert!(matches!(w.state(id(0)), State::Delayed { .. }));
    fs::remove_file(&dir).unwrap();
    w.until("the socket", is(id(0), State::Armed));
    let client = || std::os::unix::net::UnixStream::connect(path);
    assert!(client().is_ok());
    w.stop_all();
    assert!(client().is_err(), "no client waits for an answer");
    w.input(Input::Start(id(0)));
    assert!(client().is_ok());
    w.stop_all();
    fs::remove_dir_all(&dir).unwrap();
}
