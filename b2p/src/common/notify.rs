// SPDX-License-Identifier: Apache-2.0
//! Readiness notification to PID 1 (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

use log::error;

/// Sends READY=1 to the socket in `NOTIFY_SOCKET`, if that is set.
pub fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|s| s.send_to(b"READY=1\n", path));
    if let Err(e) = sent {
        error!("READY=1 cannot be sent: {e}");
    }
}
