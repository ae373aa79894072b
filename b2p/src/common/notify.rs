// SPDX-License-Identifier: Apache-2.0
//! Notifications to PID 1 (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

use log::error;

/// Reports that the service is ready.
pub fn ready() {
    send("READY=1");
}

/// Reports that the service is ready, and that its main process has this number.
pub fn main_process(pid: &str) {
    send(&format!("MAINPID={pid}\nREADY=1"));
}

/// Reports that the file of the service's degraded lines has changed. A one-shot does not call this function:
/// PID 1 reads the file when a one-shot ends.
pub fn degraded() {
    send("X_DEGRADED=1");
}

/// Sends a line to the socket in `NOTIFY_SOCKET`, if that is set.
fn send(line: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let text = format!("{line}\n");
    let sent = UnixDatagram::unbound().and_then(|s| s.send_to(text.as_bytes(), path));
    if let Err(e) = sent {
        error!("{line} cannot be sent: {e}");
    }
}
