// SPDX-License-Identifier: Apache-2.0
//! Clients of ssh that never log in, through the port that QEMU forwards. These clients have the
//! address of the test's own logins.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Guest, eventually};

/// Interval at which a client checks for the end of the flood.
const LOOK: Duration = Duration::from_millis(250);

/// Time limit until all clients of a machine on a busy host are connected.
const CONNECT_LIMIT: Duration = Duration::from_secs(600);

/// Command of bash for silent clients.
pub const SILENT: &str = ":";

/// Script that ends the clients of [`inside`].
pub const END_INSIDE: &str = "kill $(cat /run/flood.pid)";

/// Starts clients in the machine, and waits until they are connected: `count` clients for each command of
/// bash, which writes the data of a client to descriptor `$fd`. QEMU's port forward takes minutes for
/// that number.
///
/// # Errors
/// The script fails.
pub fn inside(guest: &Guest, count: usize, says: &[&str]) -> Result<()> {
    let connect = |says: &&str| {
        let open = "exec {fd}<>/dev/tcp/127.0.0.1/22";
        format!("for i in $(seq {count}); do {open}; {says}; done\n")
    };
    let clients: String = says.iter().map(connect).collect();
    let script = format!("ulimit -n 8192\n{clients}echo $$ >/run/flood.pid\nexec sleep 1000000");
    guest.sh(&format!(
        "rm -f /run/flood.pid; cat >/run/flood.sh <<'EOF'\n{script}\nEOF
         bash /run/flood.sh </dev/null >/dev/null 2>&1 &"
    ))?;
    eventually(CONNECT_LIMIT, || {
        guest.sh("[ -s /run/flood.pid ]").map(drop)
    })
}

/// Clients that each connect again as soon as the connection is closed. Drop ends the clients.
pub struct Flood {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// Conduct of a client.
#[derive(Clone, Copy, Debug)]
pub struct Conduct {
    /// First bytes.
    pub hello: &'static [u8],
    /// A byte every [`LOOK`], if there is one.
    pub trickle: &'static [u8],
}

impl Flood {
    /// Starts `count` clients of port `port`, and waits until they are connected.
    ///
    /// # Errors
    /// The clients cannot connect.
    pub fn start(port: u16, count: usize, conduct: Conduct) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let client = || {
            let (is_over, connected) = (is_over.clone(), connected.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    connected.fetch_add(1, Ordering::Relaxed);
                    // A refused or disconnected client connects again.
                    let _ = attend(port, conduct, &is_over);
                }
            })
        };
        let clients = (0..count).map(|_| client()).collect();
        let flood = Self {
            is_over: is_over.clone(),
            clients,
        };
        eventually(Duration::from_secs(30), || {
            let connected = connected.load(Ordering::Relaxed);
            ensure!(connected >= count, "{connected} of {count} clients");
            Ok(())
        })?;
        Ok(flood)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

/// Connects, and stays until the connection is closed or the flood ends.
fn attend(port: u16, conduct: Conduct, is_over: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.write_all(conduct.hello)?;
    let mut bytes = [0; 4096];
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                stream.write_all(conduct.trickle)?;
            }
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Ok(())
}
