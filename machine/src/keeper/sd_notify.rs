// SPDX-License-Identifier: Apache-2.0
//! Message to systemd where the keeper is a service (sd_notify(3)).

use std::ffi::OsString;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells systemd that the machine is ready.
pub fn ready() {
    let told = std::env::var_os("NOTIFY_SOCKET").map(|name| send(&name, b"READY=1"));
    if let Some(Err(error)) = told {
        eprintln!("NOTIFY_SOCKET: {error}");
    }
}

fn send(name: &OsString, text: &[u8]) -> io::Result<()> {
    let address = match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let hidden = format!("boot2podman-test-{}", std::process::id());
        let sockets = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path)),
            (
                format!("@{hidden}").into(),
                SocketAddr::from_abstract_name(hidden.as_bytes())
                    .and_then(|a| UnixDatagram::bind_addr(&a)),
            ),
        ];
        for (name, socket) in sockets {
            send(&name, b"READY=1").expect("sent");
            let mut got = [0; 16];
            let len = socket.expect("bound").recv(&mut got).expect("received");
            assert_eq!(&got[..len], b"READY=1");
        }
        assert!(send(&"/nonexistent".into(), b"x").is_err());
    }
}
