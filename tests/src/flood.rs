// SPDX-License-Identifier: Apache-2.0
//! Clients of ssh that never log in, through the port that QEMU forwards. They have the address of
//! the test's own logins.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Guest, eventually};

/// Interval at which a client looks whether the flood ends.
const LOOK: Duration = Duration::from_millis(250);

/// Script that ends the clients of [`silent_inside`].
pub const END_INSIDE: &str = "kill $(cat /run/flood.pid)";

/// Starts 1,000 clients in the machine that say nothing; QEMU's port forward takes minutes for so
/// many.
///
/// # Errors
/// The script fails.
pub fn silent_inside(guest: &Guest) -> Result<()> {
    let script = "ulimit -n 4096
for i in $(seq 1000); do exec {fd}<>/dev/tcp/127.0.0.1/22; done
echo $$ >/run/flood.pid
exec sleep 1000";
    guest.sh(&format!(
        "cat >/run/flood.sh <<'EOF'\n{script}\nEOF
         bash /run/flood.sh </dev/null >/dev/null 2>&1 &
         while ! [ -s /run/flood.pid ]; do sleep 0.1; done"
    ))?;
    Ok(())
}

/// Clients that each come again as soon as they are sent away. They end on drop.
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
    /// The clients do not get through.
    pub fn start(port: u16, count: usize, conduct: Conduct) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let client = || {
            let (is_over, connected) = (is_over.clone(), connected.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    connected.fetch_add(1, Ordering::Relaxed);
                    // Refused or sent away: it comes again.
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

/// Connects, and stays until it is sent away or the flood ends.
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
