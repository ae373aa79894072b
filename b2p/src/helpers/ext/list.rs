//! `b2p ext list`.

use std::fs;
use std::path::Path;

use super::find::{self, Stem, Time};
use super::{fitting, text};
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Screen, print};
use crate::common::units;
use sys::paths::EXTENSIONS_DIR;

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "NAME",  right: false, keep: 0 },
    Column { title: "STATE", right: false, keep: 0 },
    Column { title: "SIZE",  right: true,  keep: 2 },
    Column { title: "WHERE", right: false, keep: 3 },
    Column { title: "WHAT",  right: false, keep: 1 },
];

/// Those that are there, and which of them are a part of the root.
pub fn main() -> i32 {
    let rows: Vec<Vec<Cell>> = find::all(Time::Running).iter().map(row).collect();
    find::done();
    print(&render(COLUMNS, &rows, &Screen::stdout()));
    0
}

fn row(stem: &Stem) -> Vec<Cell> {
    let name = stem.name();
    let added = find::is_mounted(&Path::new(EXTENSIONS_DIR).join(&name));
    let what = text(stem).and_then(|text| Ok(fitting(stem, &text)?.packages()));
    let (state, what) = match what {
        Ok(what) if added => (("added", Colour::Green), what),
        Ok(what) => (("-", Colour::Dim), what),
        Err(why) => (("refused", Colour::Red), why),
    };
    let size = fs::metadata(stem.image()).map_or(0, |m| m.len());
    let plain = |text: String| (text.replace(char::is_control, " "), None);
    vec![
        plain(name),
        (state.0.to_owned(), Some(state.1)),
        plain(units::bytes(size)),
        plain(stem.image().display().to_string()),
        plain(what),
    ]
}
