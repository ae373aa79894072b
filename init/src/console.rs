// SPDX-License-Identifier: Apache-2.0
//! Terminals of the consoles. A service for each (`b2p console`) prints the state of the machine
//! and, with `b2p.console=shell`, becomes a root shell: PID 1 never writes to a terminal, which
//! may block.

use std::fs;

use services::{ServiceDef, Tty};

/// Number of consoles that get a service, however many the command line lists.
const MAX_CONSOLES: usize = 4;

/// Returns the terminals behind /dev/console, in the kernel's order; the last is the one that
/// `/dev/console` stands for (Documentation/admin-guide/serial-console.rst).
#[must_use]
pub fn terminals() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let foreground = fs::read_to_string("/sys/class/tty/tty0/active").unwrap_or_default();
    devices(&active, foreground.trim())
}

/// Returns the devices of the names in `active`. `tty0` stands for the virtual terminal in the
/// foreground, and cannot itself be a controlling terminal.
fn devices(active: &str, foreground: &str) -> Vec<String> {
    let resolve = |name| match name {
        "tty0" if foreground.is_empty() => "tty1",
        "tty0" => foreground,
        other => other,
    };
    let names = active.split_whitespace().take(MAX_CONSOLES);
    names
        .map(|name| format!("/dev/{}", resolve(name)))
        .collect()
}

/// Returns `def` once for each terminal, with the name of the terminal behind its own:
/// `console-` becomes `console-ttys0`.
#[must_use]
pub fn for_each_terminal(def: &ServiceDef, terminals: &[String]) -> Vec<ServiceDef> {
    let on = |path: &String| {
        let tty = path.trim_start_matches("/dev/").to_ascii_lowercase();
        // A definition lives as long as PID 1.
        ServiceDef {
            name: [def.name, &tty].concat().leak(),
            tty: Some(Tty {
                path: path.clone().leak(),
            }),
            ..*def
        }
    };
    terminals.iter().map(on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreground_terminal_stands_in_for_tty0() {
        assert_eq!(devices("tty0 ttyS0\n", "tty2"), ["/dev/tty2", "/dev/ttyS0"]);
        assert_eq!(devices("tty0", ""), ["/dev/tty1"]);
        assert_eq!(devices("", ""), [""; 0]);
        assert_eq!(devices("a b c d e f", "").len(), MAX_CONSOLES);
    }
}
