// SPDX-License-Identifier: Apache-2.0
//! `b2p ext list` and `b2p ext info`.

use std::fs;

use sha2::{Digest, Sha256};
use sys::error::{Error, Result};

use super::added::{self, added, manifest_copy};
use super::find::{self, Files, Wait};
use super::manifest::{self, Manifest};
use super::{image, source};
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
    /// Files; those that it was added from, if it is added.
    files: Files,
    is_added: bool,
    text: Vec<u8>,
    /// Reason for which it would be refused, or damage of one that is added.
    fault: Option<String>,
}

impl Shown {
    fn of(files: Files) -> Shown {
        let name = files.name();
        let is_added = added().contains(&name);
        let (files, text) = match is_added {
            true => {
                let text = fs::read(manifest_copy(&name)).map_err(Into::into);
                (source::files(&name).unwrap_or(files), text)
            }
            false => (files.clone(), manifest::read_text(&files.manifest())),
        };
        let (text, fault) = match text {
            Ok(text) => {
                let fault = fault(&files, &text, is_added).map(|why| printable(&why.to_string()));
                (text, fault)
            }
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
            (Some(_), true) => "damaged",
            (None, true) => "added",
            (Some(_), _) => "refused",
            (None, _) => "available",
        }
    }

    /// Returns the size of the image that is added, or would be.
    fn size(&self) -> Option<u64> {
        let stated = self.manifest().and_then(|m| m.value("size").parse().ok());
        stated.or_else(|| size_of(&self.files))
    }

    /// Returns the added extensions that need this one.
    fn needed_by(&self) -> Vec<String> {
        let name = self.files.name();
        let mut others = Vec::new();
        for (other, need) in added::values("needs") {
            if self.is_added && need == name {
                others.push(other);
            }
        }
        others
    }

    fn row(&self) -> Vec<Cell> {
        let (state, colour) = match self.state() {
            "added" => ("added", Colour::Green),
            state @ ("refused" | "damaged") => (state, Colour::Red),
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
        let list = |key: &str| -> Vec<&str> {
            let values = manifest.iter().flat_map(|m| m.values(key));
            values.collect()
        };
        pairs.extend(LISTS.iter().map(|(key, name)| (*name, texts(&list(key)))));
        let mut extensions = list("needs");
        let mut libraries = extensions.clone();
        extensions.retain(|need| config::is_extension_name(need));
        libraries.retain(|need| !config::is_extension_name(need));
        let needed_by = self.needed_by();
        let needed_by: Vec<&str> = needed_by.iter().map(String::as_str).collect();
        pairs.extend([
            ("needs_libraries", texts(&libraries)),
            ("needs_extensions", texts(&extensions)),
            ("needed_by", texts(&needed_by)),
        ]);
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
        facts.push(("needed-by", self.needed_by().join(", ")));
        facts.retain(|(_, value)| !value.is_empty());
        let line = |(key, value): &(&str, String)| format!("{key}: {}\n", printable(value));
        facts.iter().map(line).collect()
    }
}

fn texts(values: &[&str]) -> Json {
    values.iter().map(|value| Json::text(value)).collect()
}

fn printable(text: &str) -> String {
    text.replace(manifest::is_unprintable, " ")
}

/// Returns the reason for which an extension would be refused, or the damage of one that is added, as far as it is known
/// without its hash.
fn fault(files: &Files, text: &[u8], is_added: bool) -> Option<Error> {
    let manifest = match image::check_platform(&files.name(), text) {
        Ok(manifest) => manifest,
        Err(why) => return Some(why),
    };
    let fault = match is_added {
        true => source::fault(&files.name(), &manifest),
        false => size_of(files).and_then(|size| image::size_fault(size, &manifest)),
    };
    fault.map(Error::invalid)
}

fn size_of(files: &Files) -> Option<u64> {
    fs::metadata(files.image()).ok().map(|m| m.len())
}

/// Returns all extensions: those on the media, and those that were added from elsewhere.
fn all() -> Vec<Shown> {
    let mut files = find::all(Wait::No);
    for name in added() {
        if files.iter().all(|known| known.name() != name) {
            files.extend(Files::at(&added::target(&name).to_string_lossy()));
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
            found.or_else(|_| Files::at(&added::target(name).to_string_lossy()))?
        }
        false => find::find(name, Wait::No)?,
    };
    Ok(Shown::of(files))
}
