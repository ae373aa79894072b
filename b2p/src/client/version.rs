// SPDX-License-Identifier: Apache-2.0
//! `b2p version`: the version; with `--verbose` also the version and licence of every part of the
//! machine.

use std::fs;

use crate::common::table::{Column, render};
use crate::common::terminal::{Colour, Terminal, print, print_error};

/// Bill of materials, written by the image builder (initramfs/src/bom/mod.rs): kind, name, version
/// and licence of each part, separated by tabs.
const PACKAGES: &str = "/usr/share/boot2podman/packages.tsv";

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "FROM",    right: false, keep: 0 },
    Column { title: "PACKAGE", right: false, keep: 0 },
    Column { title: "VERSION", right: false, keep: 0 },
    Column { title: "LICENCE", right: false, keep: 0 },
];

/// Version of systemd whose command lines, words and exit statuses `systemctl` and `journalctl` have here.
pub const AS_SYSTEMD: &str = concat!("257 (boot2podman ", env!("CARGO_PKG_VERSION"), ")");

/// Runs `b2p version [--verbose]` and returns the exit status.
pub fn main(args: &[String]) -> i32 {
    let is_known = |arg: &String| matches!(arg.as_str(), "--verbose" | "-v");
    if let Some(unknown) = args.iter().find(|arg| !is_known(arg)) {
        print_error(&format!(
            "b2p version: {unknown}: no such option; there is --verbose"
        ));
        return 2;
    }
    print(concat!("boot2podman ", env!("CARGO_PKG_VERSION"), "\n"));
    if args.is_empty() { 0 } else { print_parts() }
}

/// Prints the version of the kernel and the bill of materials; returns the exit status.
fn print_parts() -> i32 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    print(&format!(
        "kernel {}\n\n",
        release.as_deref().map_or("unknown", str::trim_end)
    ));
    match fs::read_to_string(PACKAGES) {
        Ok(parts) => {
            print(&table(&parts, &Terminal::stdout()));
            0
        }
        Err(e) => {
            print_error(&format!(
                "b2p version: {PACKAGES}: {e}; it is in the userland's image"
            ));
            1
        }
    }
}

/// Returns the bill of materials as a table. The table does not drop columns: licences are long,
/// and a terminal that is too narrow breaks the lines.
fn table(parts: &str, terminal: &Terminal) -> String {
    let cells = |line: &str| {
        let colours = [Some(Colour::Dim), None, None, None];
        let cells = line.split('\t').map(str::to_owned).zip(colours);
        cells.collect::<Vec<_>>()
    };
    let rows: Vec<_> = parts.lines().map(cells).collect();
    let unbounded = Terminal {
        width: None,
        ..*terminal
    };
    render(COLUMNS, &rows, &unbounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::terminal::Glyphs;

    #[test]
    fn the_list_as_a_table() {
        let terminal = Terminal {
            width: Some(10),
            colour: false,
            glyphs: Glyphs::Ascii,
        };
        let list =
            "debian\tbash\t5.2\tGPL-3.0-or-later\ncrate\tlog\t0.4.1\tMIT OR Apache-2.0\nodd\n";
        let expected = "FROM    PACKAGE  VERSION  LICENCE\n\
                        debian  bash     5.2      GPL-3.0-or-later\n\
                        crate   log      0.4.1    MIT OR Apache-2.0\nodd\n";
        assert_eq!(table(list, &terminal), expected);
        assert_eq!(main(&["--loud".to_owned()]), 2);
    }
}
