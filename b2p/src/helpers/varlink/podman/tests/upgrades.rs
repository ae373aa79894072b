// SPDX-License-Identifier: Apache-2.0
//! Calls after which the connection carries other bytes, against a podman that answers by hand.

use std::io::Cursor;
use std::net::Shutdown;
use std::os::fd::OwnedFd;

use super::*;
use varlink::serde_json::json;

/// podman that is not there: the test accepts its connections.
struct Fake {
    listener: UnixListener,
    interface: Podman,
    spool: PathBuf,
}

impl Fake {
    fn new(name: &str) -> Fake {
        let socket =
            std::env::temp_dir().join(format!("varlink-upgrade-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let spool = socket.with_extension("spool");
        Fake {
            listener: UnixListener::bind(&socket).unwrap(),
            interface: podman_of(Api {
                socket,
                spool: spool::Spool::at(spool.clone()),
            }),
            spool,
        }
    }

    /// Serves one connection, on which `talk` is the client.
    fn serve(&self, talk: impl FnOnce(UnixStream)) {
        let (own, other) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let service = Service {
                    interfaces: &[&self.interface],
                    ..super::super::super::resolver::PRODUCT
                };
                let _ = service.run(Connection::new(other, 1 << 20).unwrap());
            });
            talk(own);
        });
    }

    /// Accepts and answers a request, and returns its connection.
    fn answer(&self, request: &str, status: u16, body: &str) -> UnixStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        let (first, _) = read_request(&stream);
        assert_eq!(first, request);
        let length = match status {
            101 => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        write!(stream, "HTTP/1.1 {status} X\r\n{length}\r\n{body}").unwrap();
        stream
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.interface.api.socket);
        let _ = std::fs::remove_dir_all(&self.spool);
    }
}

/// Connection after an upgrade: the bytes that arrived together with the reply, and the socket.
type Peer = std::io::Chain<Cursor<Vec<u8>>, UnixStream>;

/// Calls a method with `upgrade`; returns the reply, and the connection.
fn upgrade(own: UnixStream, method: &str, parameters: Value) -> (Reply, Peer) {
    let mut client = Client::new(OwnedFd::from(own)).unwrap();
    let call = Call {
        upgrade: true,
        ..Call::new(format!("io.podman.{method}"), map(parameters))
    };
    let reply = client.call(&call).unwrap();
    let raw = client.into_connection().into_raw();
    let stream = UnixStream::from(OwnedFd::from(raw.input));
    (reply, Cursor::new(raw.early).chain(stream))
}

fn put(client: &mut Peer, bytes: &[u8]) {
    client.get_mut().1.write_all(bytes).unwrap();
}

fn frame(number: u8, bytes: &[u8]) -> Vec<u8> {
    [
        &[number, 0, 0, 0][..],
        &(bytes.len() as u32).to_be_bytes(),
        bytes,
    ]
    .concat()
}

fn read(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

const STOPPED: &str = r#"{"Id":"abc","State":{"Status":"created"},"Config":{"Tty":false}}"#;
const ATTACH: &str = "POST containers/abc/attach?stdin=true&stdout=true&stderr=true&stream=true";

#[test]
fn attach_starts_a_container_and_copies_its_streams() {
    let fake = Fake::new("attach");
    let ask = json!({"name": "web", "start": true});
    fake.serve(|own| {
        let call = std::thread::spawn(move || upgrade(own, "Attach", ask));
        fake.answer("GET containers/web/json", 200, STOPPED);
        // The first output arrives in one packet with the answer.
        let early = String::from_utf8(frame(1, b"early")).unwrap();
        let mut podman = fake.answer(ATTACH, 101, &early);
        fake.answer("POST containers/abc/start", 204, "");
        let (reply, mut client) = call.join().unwrap();
        assert_eq!((reply.error, reply.parameters.len()), (None, 0));
        assert_eq!(read(&mut client, 13), frame(0, b"early"));
        podman.write_all(&frame(2, b"problem")).unwrap();
        assert_eq!(read(&mut client, 15), frame(2, b"problem"));
        put(&mut client, &frame(1, b"typed"));
        put(
            &mut client,
            &[frame(9, b"unknown"), frame(5, b"EOF")].concat(),
        );
        assert_eq!(rest(&mut podman), b"typed", "and the end of the input");
        podman.write_all(&frame(1, b"late")).unwrap();
        drop(podman);
        fake.answer("POST containers/abc/wait?condition=stopped", 200, "7\n");
        assert_eq!(
            rest(&mut client),
            [frame(0, b"late"), frame(4, &[0, 0, 0, 7])].concat()
        );
    });
}

#[test]
fn exec_has_a_terminal_with_a_size() {
    let fake = Fake::new("exec");
    let ask = json!({"opts": {"name": "web", "cmd": ["sh"], "tty": true, "env": ["A=1"]}});
    fake.serve(|own| {
        let call = std::thread::spawn(move || upgrade(own, "ExecContainer", ask));
        fake.answer("POST containers/web/exec", 201, r#"{"Id":"e"}"#);
        let mut podman = fake.answer("POST exec/e/start", 101, "");
        let (_, mut client) = call.join().unwrap();
        for wrong in [
            "{}",
            "[",
            r#"{"Width":-1,"Height":24}"#,
            r#"{"Width":1,"Height":99999}"#,
        ] {
            put(&mut client, &frame(3, wrong.as_bytes()));
        }
        put(&mut client, &frame(3, br#"{"Width":80,"Height":24}"#));
        fake.answer("POST exec/e/resize?h=24&w=80", 201, "");
        podman.write_all(&[1, 0, 0, 0, 255, 255]).unwrap();
        podman.shutdown(Shutdown::Write).unwrap();
        fake.answer("GET exec/e/json", 200, r#"{"Running":false,"ExitCode":3}"#);
        let expected = [frame(0, &[1, 0, 0, 0, 255, 255]), frame(4, &[0, 0, 0, 3])].concat();
        assert_eq!(
            rest(&mut client),
            expected,
            "no frames of podman with a terminal"
        );
    });
}

#[test]
fn a_client_that_leaves_ends_podmans_connection() {
    let fake = Fake::new("leave");
    fake.serve(|own| {
        let call = std::thread::spawn(move || {
            upgrade(own, "ExecContainer", json!({"opts": {"name": "web"}}))
        });
        fake.answer("POST containers/web/exec", 201, r#"{"Id":"e"}"#);
        let mut podman = fake.answer("POST exec/e/start", 101, "");
        let (_, mut client) = call.join().unwrap();
        // An incomplete frame: the client is gone before its end.
        put(&mut client, &frame(1, b"typed")[..10]);
        drop(client);
        // The part of the frame that was passed on depends on the order of the two ends.
        assert!(b"ty".starts_with(&rest(&mut podman)));
    });
}

#[test]
fn keys_that_detach_leave_the_container() {
    let fake = Fake::new("detach");
    let running = STOPPED.replace("created", "running");
    fake.serve(|own| {
        let call = std::thread::spawn(move || upgrade(own, "Attach", json!({"name": "web"})));
        fake.answer("GET containers/web/json", 200, &running);
        let mut podman = fake.answer(ATTACH, 101, "");
        let (_, mut client) = call.join().unwrap();
        put(
            &mut client,
            &[frame(1, b"a\x10"), frame(1, b"\x11")].concat(),
        );
        assert_eq!(read(&mut podman, 3), b"a\x10\x11");
        drop(podman);
        // No wait for the container, which runs on.
        assert_eq!(rest(&mut client), frame(4, &[0; 4]));
    });
}

#[test]
fn calls_that_are_refused_stay_on_the_connection() {
    let fake = Fake::new("refused");
    fake.serve(|own| {
        let call = std::thread::spawn(move || upgrade(own, "Attach", json!({"name": "web"})));
        fake.answer("GET containers/web/json", 200, STOPPED);
        let (reply, own) = call.join().unwrap();
        let reason = "container must be running to attach";
        assert_eq!(reply.parameters["reason"], reason);
        let own = own.into_inner().1;
        let call = std::thread::spawn(move || {
            upgrade(own, "ExecContainer", json!({"opts": {"name": "none"}}))
        });
        fake.answer("POST containers/none/exec", 404, r#"{"message":"no"}"#);
        assert_eq!(
            call.join().unwrap().0.error.as_deref(),
            Some("io.podman.ContainerNotFound")
        );
    });
}

#[test]
fn a_file_goes_to_the_spool_and_back() {
    let fake = Fake::new("file");
    let mut path = String::new();
    fake.serve(|own| {
        let (reply, mut client) = upgrade(own, "SendFile", json!({"type": "tar", "length": 4}));
        path = reply.parameters["file_handle"].as_str().unwrap().to_owned();
        put(&mut client, b"text and more");
        let mut answer = vec![0; path.len() + 1];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, format!("{path}:").into_bytes());
    });
    fake.serve(|own| {
        let (reply, mut client) =
            upgrade(own, "ReceiveFile", json!({"path": path, "delete": true}));
        assert_eq!(reply.parameters["len"], 4);
        assert_eq!(read(&mut client, 4), b"text");
    });
    assert!(!std::path::Path::new(&path).exists());
    fake.serve(|own| {
        let (reply, own) = upgrade(own, "ReceiveFile", json!({"path": path}));
        assert_eq!(reply.error.as_deref(), Some("io.podman.ErrorOccurred"));
        let (reply, own) = upgrade(
            own.into_inner().1,
            "ReceiveFile",
            json!({"path": "/etc/passwd", "delete": true}),
        );
        assert_eq!(reply.error.as_deref(), Some("io.podman.ErrorOccurred"));
        let (reply, own) = upgrade(own.into_inner().1, "SendFile", json!({"length": -1}));
        assert_eq!(reply.error.as_deref(), Some("io.podman.ErrorOccurred"));
        let (reply, _) = upgrade(own.into_inner().1, "SendFile", json!({"length": i64::MAX}));
        assert!(
            reply.parameters["reason"]
                .as_str()
                .unwrap()
                .contains("half of the free space")
        );
    });
    assert_eq!(std::fs::read_dir(&fake.spool).unwrap().count(), 0);
}
