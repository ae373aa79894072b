// SPDX-License-Identifier: Apache-2.0
//! Ports at which the machine's ssh server listens. The service `sshd` writes them; PID 1, the console and the rules
//! for containers read them.

use std::path::Path;

use crate::error::Result;
use crate::files::{read_bounded, replace};
use crate::paths::SSH_PORTS;

/// Port of ssh (RFC 4251, section 4.1 names the registered port).
pub const DEFAULT: u16 = 22;
/// Longest file with the ports, in bytes.
const MAX_BYTES: u64 = 1024;

/// Writes the ports, each once.
///
/// # Errors
/// The file cannot be written.
pub fn write(ports: &[u16]) -> Result<()> {
    replace(Path::new(SSH_PORTS), text(ports).as_bytes(), 0o644)
}

fn text(ports: &[u16]) -> String {
    let is_first = |(at, port): &(usize, &u16)| !ports[..*at].contains(port);
    let each = ports.iter().enumerate().filter(is_first);
    each.map(|(_, port)| format!("{port}\n")).collect()
}

/// Returns the ports, the first one of the configuration first; [`DEFAULT`] alone before sshd has started.
#[must_use]
pub fn read() -> Vec<u16> {
    let text = read_bounded(Path::new(SSH_PORTS), MAX_BYTES).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text))
}

/// Returns the first of the ports.
#[must_use]
pub fn first() -> u16 {
    read().first().copied().unwrap_or(DEFAULT)
}

fn parse(text: &str) -> Vec<u16> {
    let ports: Vec<u16> = text.lines().filter_map(|line| line.parse().ok()).collect();
    match ports.is_empty() {
        true => vec![DEFAULT],
        false => ports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_there_once_and_in_its_order() {
        assert_eq!(text(&[2222, 22, 2222]), "2222\n22\n");
        for (text, ports) in [
            ("2222\n22\n", vec![2222, 22]),
            ("", vec![DEFAULT]),
            ("ssh\n99999\n", vec![DEFAULT]),
        ] {
            assert_eq!(parse(text), ports, "{text}");
        }
    }
}
