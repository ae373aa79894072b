// SPDX-License-Identifier: Apache-2.0
//! The guest's clock: it stands still while the processors do, and gets the host's time when they run
//! again. `b2p time` reads the line `time <milliseconds since 1970>` from the port
//! `org.boot2podman.host.0`.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// QEMU's end of the guest's port. The connection lasts as long as the keeper: the guest's end
/// reports a hang-up while there is none.
pub struct Clock(Option<UnixStream>);

impl Clock {
    /// Connects to QEMU. Without a connection the guest corrects its clock by the hardware clock,
    /// some seconds later.
    #[must_use]
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).and_then(|stream| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        if let Err(error) = &stream {
            eprintln!("{}: {error}", path.display());
        }
        Self(stream.ok())
    }

    /// Tells the guest the time. A guest that reads nothing has no say in it: nothing waits.
    pub fn tell(&mut self) {
        if let Some(port) = &mut self.0
            && let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
        {
            let _ = port.write_all(format!("time {}\n", now.as_millis()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_guest_is_told_in_milliseconds() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        Clock::connect(&path).tell();
        let listener = UnixListener::bind(&path).expect("bound");
        let mut clock = Clock::connect(&path);
        let guest = listener.accept().expect("connected").0;
        clock.tell();
        let mut line = String::new();
        BufReader::new(guest).read_line(&mut line).expect("a line");
        let said: u64 = line["time ".len()..].trim().parse().expect("a number");
        let now = super::super::now() * 1000;
        assert!(said + 5000 > now && said < now + 5000, "{said} {now}");
    }
}
