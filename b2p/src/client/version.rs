//! `b2p version`: of what; with `--verbose` of everything that is in the machine.

use std::fs;

use crate::common::table::{Column, render};
use crate::common::terminal::{Colour, Screen, print, print_error};

/// What the machine is made of, written when its image was (initramfs/src/bom/mod.rs):
/// kind, name, version and licence, between tabs.
const LIST: &str = "/usr/share/boot2podman/packages.tsv";

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "FROM",    right: false, keep: 0 },
    Column { title: "PACKAGE", right: false, keep: 0 },
    Column { title: "VERSION", right: false, keep: 0 },
    Column { title: "LICENCE", right: false, keep: 0 },
];

/// `b2p version [--verbose]`.
pub fn main(words: &[String]) -> i32 {
    let known = |w: &&String| matches!(w.as_str(), "--verbose" | "-v");
    if let Some(wrong) = words.iter().find(|w| !known(w)) {
        print_error(&format!(
            "b2p version: {wrong}: no such option; there is --verbose"
        ));
        return 2;
    }
    print(concat!("boot2podman ", env!("CARGO_PKG_VERSION"), "\n"));
    if words.is_empty() { 0 } else { verbose() }
}

fn verbose() -> i32 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    print(&format!(
        "kernel {}\n\n",
        release.as_deref().map_or("unknown", str::trim_end)
    ));
    match fs::read_to_string(LIST) {
        Ok(list) => {
            print(&table(&list, &Screen::stdout()));
            0
        }
        Err(e) => {
            print_error(&format!(
                "b2p version: {LIST}: {e}; it is in the userland's image"
            ));
            1
        }
    }
}

/// Licences are long: a terminal that is too narrow breaks the lines itself.
fn table(list: &str, screen: &Screen) -> String {
    let cells = |line: &str| {
        let colours = [Some(Colour::Dim), None, None, None];
        let cells = line.split('\t').map(str::to_owned).zip(colours);
        cells.collect::<Vec<_>>()
    };
    let rows: Vec<_> = list.lines().map(cells).collect();
    let wide = Screen {
        width: None,
        ..*screen
    };
    render(COLUMNS, &rows, &wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::terminal::Glyphs;

    #[test]
    fn the_list_as_a_table() {
        let screen = Screen {
            width: Some(10),
            colour: false,
            glyphs: Glyphs::Ascii,
        };
        let list =
            "debian\tbash\t5.2\tGPL-3.0-or-later\ncrate\tlog\t0.4.1\tMIT OR Apache-2.0\nodd\n";
        let expected = "FROM    PACKAGE  VERSION  LICENCE\n\
                        debian  bash     5.2      GPL-3.0-or-later\n\
                        crate   log      0.4.1    MIT OR Apache-2.0\nodd\n";
        assert_eq!(table(list, &screen), expected);
        assert_eq!(main(&["--loud".to_owned()]), 2);
    }
}
