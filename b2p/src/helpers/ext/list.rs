// SPDX-License-Identifier: Apache-2.0
//! `b2p ext list` and `b2p ext info`.

use std::fs;

use sha2::{Digest, Sha256};
use sys::error::Result;

use super::add::{added, manifest_copy};
use super::find::{self, Files, Wait};
use super::image;
use super::manifest::{self, Manifest};
use crate::common::json::Json;
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Terminal, print, print_error};
use crate::common::units;

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "NAME",  right: false, keep: 0 },
    Column { title: "STATE", right: false, keep: 0 },
    Column { title: "SIZE",  right: true,  keep: 2 },
    Column { title: "WHERE", right: false, keep: 3 },
    Column { title: "WHAT",  right: false, keep: 1 },
];

/// Keys of a manifest with several values, and their names in JSON and in `b2p ext info`.
const LISTS: &[(&str, &str)] = &[
    ("needs", "needs"),
    ("module", "modules"),
    ("service", "services"),
    ("user", "users"),
    ("package", "packages"),
];
/// Keys of a manifest with one value.
const TEXTS: &[&str] = &["suite", "architecture", "libc", "kernel", "sha256"];

/// An extension as it is shown.
struct Shown {
    files: Files,
    is_added: bool,
    text: Vec<u8>,
    /// Reason for which it would be refused.
    fault: Option<String>,
}

impl Shown {
    fn of(files: Files) -> Shown {
        let is_added = added().contains(&files.name());
        let text = match is_added {
            true => fs::read(manifest_copy(&files.name())).map_err(Into::into),
            false => manifest::read_text(&files.manifest()),
        };
        let checked = text.and_then(|text| {
            image::check_platform(&files, &text)?;
            Ok(text)
        });
        let (text, fault) = match checked {
            Ok(text) => (text, None),
            Err(why) => (Vec::new(), Some(printable(&why.to_string()))),
        };
        Shown {
            files,
            is_added,
            text,
            fault,
        }
    }

    fn manifest(&self) -> Option<Manifest<'_>> {
        Manifest::parse(&self.text).ok()
    }

    fn state(&self) -> &'static str {
        match (&self.fault, self.is_added) {
            (_, true) => "added",
            (Some(_), _) => "refused",
            (None, _) => "available",
        }
    }

    fn size(&self) -> Option<u64> {
        fs::metadata(self.files.image()).ok().map(|m| m.len())
    }

    fn row(&self) -> Vec<Cell> {
        let (state, colour) = match self.state() {
            "added" => ("added", Colour::Green),
            "refused" => ("refused", Colour::Red),
            _ => ("-", Colour::Dim),
        };
        let packages = self.manifest().map(|m| m.packages());
        let plain = |text: String| (printable(&text), None);
        vec![
            plain(self.files.name()),
            (state.to_owned(), Some(colour)),
            plain(units::bytes(self.size().unwrap_or(0))),
            plain(self.files.image().display().to_string()),
            plain(self.fault.clone().or(packages).unwrap_or_default()),
        ]
    }

    fn json(&self) -> Json {
        let manifest = self.manifest();
        let value = |key: &str| manifest.as_ref().map_or("", |m| m.value(key));
        let mut pairs = vec![
            ("name", Json::text(&self.files.name())),
            ("state", Json::text(self.state())),
            ("why", Json::text(self.fault.as_deref().unwrap_or_default())),
            (
                "image",
                Json::text(&self.files.image().display().to_string()),
            ),
            ("size_bytes", Json::from(self.size())),
            ("manifest_sha256", Json::text(&self.manifest_sum())),
        ];
        pairs.extend(TEXTS.iter().map(|key| (*key, Json::text(value(key)))));
        for (key, name) in LISTS {
            let values = manifest.iter().flat_map(|m| m.values(key));
            pairs.push((name, values.map(Json::text).collect()));
        }
        Json::Object(pairs)
    }

    /// Returns the SHA-256 by which the extension is added from an address.
    fn manifest_sum(&self) -> String {
        match self.text.as_slice() {
            [] => String::new(),
            text => disk::uuid::hex(&Sha256::digest(text)),
        }
    }

    /// Returns a line for each fact that is known.
    fn lines(&self) -> String {
        let mut facts = vec![
            ("name", self.files.name()),
            ("state", self.state().to_owned()),
            ("why", self.fault.clone().unwrap_or_default()),
            ("image", self.files.image().display().to_string()),
            ("size", self.size().map_or_else(String::new, units::bytes)),
            ("manifest-sha256", self.manifest_sum()),
        ];
        if let Some(manifest) = self.manifest() {
            facts.extend(
                TEXTS
                    .iter()
                    .map(|key| (*key, manifest.value(key).to_owned())),
            );
            for (key, name) in LISTS {
                let values: Vec<&str> = manifest.values(key).collect();
                facts.push((name, values.join(", ")));
            }
        }
        facts.retain(|(_, value)| !value.is_empty());
        let line = |(key, value): &(&str, String)| format!("{key}: {}\n", printable(value));
        facts.iter().map(line).collect()
    }
}

fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Returns all extensions: those on the media, and those that were added from elsewhere.
fn all() -> Vec<Shown> {
    let mut files = find::all(Wait::No);
    for name in added() {
        if files.iter().all(|known| known.name() != name) {
            files.extend(Files::at(&super::add::target(&name).to_string_lossy()));
        }
    }
    files.into_iter().map(Shown::of).collect()
}

/// Prints all extensions, and which of them are part of the root.
pub fn main(as_json: bool) -> i32 {
    let all = all();
    find::release_medium();
    match as_json {
        true => {
            let list: Json = all.iter().map(Shown::json).collect();
            print(&Json::Object(vec![("extensions", list)]).line());
        }
        false => {
            let rows: Vec<Vec<Cell>> = all.iter().map(Shown::row).collect();
            print(&render(COLUMNS, &rows, &Terminal::stdout()));
        }
    }
    0
}

/// Prints all that is known about one extension.
pub fn info(name: &str, as_json: bool) -> i32 {
    let shown = find_shown(name);
    find::release_medium();
    match shown {
        Ok(shown) if as_json => print(&shown.json().line()),
        Ok(shown) => print(&shown.lines()),
        Err(why) => {
            print_error(&format!("b2p ext: {}: {why}", printable(name)));
            return 1;
        }
    }
    0
}

fn find_shown(name: &str) -> Result<Shown> {
    let files = match name.contains('/') {
        true => Files::at(name)?,
        false if added().iter().any(|known| known == name) => {
            let found = find::find(name, Wait::No);
            found.or_else(|_| Files::at(&super::add::target(name).to_string_lossy()))?
        }
        false => find::find(name, Wait::No)?,
    };
    Ok(Shown::of(files))
}
