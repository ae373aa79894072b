//! sd_notify(3), as PID 1 of ours hears it, too.

use std::os::unix::net::UnixDatagram;

use log::error;

/// Says READY=1, where somebody listens.
pub fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|s| s.send_to(b"READY=1\n", path));
    if let Err(e) = sent {
        error!("READY=1 could not be said: {e}");
    }
}
