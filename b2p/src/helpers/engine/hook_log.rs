// SPDX-License-Identifier: Apache-2.0
//! Log of the hooks that podman runs.

use std::os::unix::net::UnixDatagram;

use log::error;

/// Priority of a report (RFC 3164): facility daemon (3) and error (3).
const PRIORITY: u8 = 3 << 3 | 3;

/// Writes to the machine's log. podman does not show the output of a hook, only its arguments, which
/// name the log (`hooks.d/start.json`); a user cannot write to the kernel log.
pub fn report(text: &str) {
    let record = format!("<{PRIORITY}>podman[{}]: {text}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(record.as_bytes(), "/dev/log")
    });
    if sent.is_err() {
        error!("podman: {text}");
    }
}
