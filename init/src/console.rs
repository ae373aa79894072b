//! Which consoles are served. Each by a child of its own (`b2p console`), which
//! prints the machine's state and, with `b2p.console=shell`, becomes a root
//! shell: PID 1 never writes to a terminal that may not take it.

use std::fs;

use config::Console;
use services::{Restart, ServiceDef, Tty};

use sys::paths::B2P;

/// No more consoles than this are served, whatever the command line lists.
const MAX_CONSOLES: usize = 4;

/// The terminals behind /dev/console, in the kernel's order; the last is the
/// one that `/dev/console` is (Documentation/admin-guide/serial-console.rst).
#[must_use]
pub fn terminals() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let foreground = fs::read_to_string("/sys/class/tty/tty0/active").unwrap_or_default();
    devices(&active, foreground.trim())
}

/// `tty0` stands for the virtual terminal in the foreground, and cannot itself
/// be a controlling terminal.
fn devices(active: &str, foreground: &str) -> Vec<String> {
    let name = |n: &str| match n {
        "tty0" if !foreground.is_empty() => foreground.to_owned(),
        "tty0" => "tty1".to_owned(),
        other => other.to_owned(),
    };
    active
        .split_whitespace()
        .take(MAX_CONSOLES)
        .map(|n| format!("/dev/{}", name(n)))
        .collect()
}

/// A shell for each terminal, for when `b2p rescue` asks: then it takes the
/// place of what is there, and gives it back when it is left.
#[must_use]
pub fn rescues() -> Vec<ServiceDef> {
    let row = ServiceDef {
        why: "a person can see what is wrong and mend it while the services go on",
        argv: &[B2P, "console", "rescue"],
        restart: Restart::Never,
        after_ready: true,
        ..ServiceDef::DEFAULT
    };
    for_each_terminal("rescue", &row)
}

/// A row for each terminal.
#[must_use]
pub fn services(what: Console) -> Vec<ServiceDef> {
    let (argv, restart): (&[&str], _) = match what {
        Console::Off => return Vec::new(),
        Console::Status => (&[B2P, "console", "status"], Restart::Never),
        Console::Shell => (&[B2P, "console", "shell"], Restart::Always),
    };
    let row = ServiceDef {
        why: "who sits at a console sees the state of the machine",
        restart,
        after_ready: true,
        ..ServiceDef::DEFAULT
    };
    for_each_terminal("console", &ServiceDef { argv, ..row })
}

/// `row` once for each terminal, named after it.
#[must_use]
pub fn for_each_terminal(name: &str, row: &ServiceDef) -> Vec<ServiceDef> {
    let one = |path: String| {
        // Made once in a boot and kept for its whole life.
        let path: &'static str = path.leak();
        let tty = path.trim_start_matches("/dev/").to_ascii_lowercase();
        let name = format!("{name}-{tty}").leak();
        ServiceDef {
            name,
            tty: Some(Tty { path }),
            ..*row
        }
    };
    terminals().into_iter().map(one).collect()
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
