// SPDX-License-Identifier: Apache-2.0
//! `b2p ext list`.

use std::fs;
use std::path::Path;

use sys::paths::EXTENSIONS_DIR;

use super::find::{self, Files, Wait};
use super::{image, manifest};
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Terminal, print};
use crate::common::units;

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "NAME",  right: false, keep: 0 },
    Column { title: "STATE", right: false, keep: 0 },
    Column { title: "SIZE",  right: true,  keep: 2 },
    Column { title: "WHERE", right: false, keep: 3 },
    Column { title: "WHAT",  right: false, keep: 1 },
];

/// Prints all extensions, and which of them are part of the root.
pub fn main() -> i32 {
    let rows: Vec<Vec<Cell>> = find::all(Wait::No).iter().map(row).collect();
    find::release_medium();
    print(&render(COLUMNS, &rows, &Terminal::stdout()));
    0
}

fn row(files: &Files) -> Vec<Cell> {
    let name = files.name();
    let is_added = find::is_mounted(&Path::new(EXTENSIONS_DIR).join(&name));
    let text = manifest::read_text(&files.manifest());
    let packages = text.and_then(|text| Ok(image::check_platform(files, &text)?.packages()));
    let (state, colour, description) = match packages {
        Ok(packages) if is_added => ("added", Colour::Green, packages),
        Ok(packages) => ("-", Colour::Dim, packages),
        Err(why) => ("refused", Colour::Red, why.to_string()),
    };
    let size = fs::metadata(files.image()).map_or(0, |m| m.len());
    let plain = |text: String| (text.replace(char::is_control, " "), None);
    vec![
        plain(name),
        (state.to_owned(), Some(colour)),
        plain(units::bytes(size)),
        plain(files.image().display().to_string()),
        plain(description),
    ]
}
