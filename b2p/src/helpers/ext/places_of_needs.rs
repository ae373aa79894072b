// SPDX-License-Identifier: Apache-2.0
//! Places where the extensions are that another one needs: the data disk, a disc, and the directory of the file that a
//! person has named. An address is no such place: each file of a web server needs a sum of its own.

use std::path::Path;

use sys::error::{Doing, Error, Result};

use super::added::added;
use super::find::{Files, ON_DISK, Wait};
use super::lock::lock;
use super::manifest::{self, Manifest};
use super::{find, keep, plan, source};

/// Place of the extension that needs others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The data disk or a disc.
    Media,
    /// A file that a person has named.
    Beside(Files),
    /// A web server.
    Web,
}

/// Places of the extensions that another one needs.
#[derive(Clone, Debug)]
pub struct Places {
    /// Place of the extension that needs others.
    pub origin: Origin,
    /// Wait for a disc.
    pub wait: Wait,
    /// True if all of them are put on the data disk.
    pub keep: bool,
}

impl Places {
    /// Returns the data disk and the discs.
    pub fn of(wait: Wait, keep: bool) -> Places {
        let origin = Origin::Media;
        Places { origin, wait, keep }
    }

    /// Returns the extensions that are to be added before the one of this name and manifest, in this order.
    ///
    /// # Errors
    /// One does not exist, has no manifest, or needs itself through others.
    pub fn of_needs(&self, name: &str, text: &[u8]) -> Result<Vec<Files>> {
        let added = added();
        let mut found: Vec<Files> = Vec::new();
        let order = plan::order(name, &mut |wanted| {
            if wanted == name {
                return Manifest::parse(text).map(|manifest| Some(needs_in(&manifest)));
            }
            let is_added = added.iter().any(|known| known == wanted);
            let Some(files) = self.find(wanted, is_added)? else {
                return Ok(None);
            };
            let text = manifest::read_text(&files.manifest())?;
            let needs = needs_in(&Manifest::parse(&text)?);
            found.push(files);
            Ok(Some(needs))
        })?;
        let files = |name: &String| found.iter().find(|files| files.name() == *name).cloned();
        Ok(order.iter().filter_map(files).collect())
    }

    /// Finds one; `None` if nothing is left to do for it.
    fn find(&self, name: &str, is_added: bool) -> Result<Option<Files>> {
        if is_added {
            return match self.keep {
                true => to_keep(name, &on_disk(name)?, source::files(name)),
                false => Ok(None),
            };
        }
        let on_media = find_on_media(name, self.wait);
        match &self.origin {
            Origin::Beside(files) => {
                let files = files.sibling(name)?;
                match on_media.is_err() && files.exist() {
                    true => Ok(Some(files)),
                    false => on_media.map(Some),
                }
            }
            Origin::Web => on_media
                .doing("add it first, by its own address and sum")
                .map(Some),
            Origin::Media => on_media.map(Some),
        }
    }
}

/// Returns the files of an added extension that are to be put on the data disk, `None` if they are there.
///
/// # Errors
/// The files from which it was added are gone.
fn to_keep(name: &str, on_disk: &Files, source: Option<Files>) -> Result<Option<Files>> {
    match source.filter(Files::are_complete) {
        _ if on_disk.are_complete() => Ok(None),
        Some(files) => Ok(Some(files)),
        None => Err(Error::invalid(format!(
            "it is added, but it is not in {ON_DISK}, and the files it was added from are gone: b2p ext add --keep \
             {name} from another place first"
        ))),
    }
}

/// Finds an extension by its name, after a move that a power cut had interrupted is complete.
///
/// # Errors
/// No extension has the name.
pub fn find_on_media(name: &str, wait: Wait) -> Result<Files> {
    if !config::is_extension_name(name) {
        return Err(Error::invalid(
            "no name of an extension (a-z, digits, -); a file is named by a path with a slash",
        ));
    }
    if nix::unistd::geteuid().is_root() && keep::new_dir(Path::new(ON_DISK)).exists() {
        let _lock = lock()?;
        keep::recover(Path::new(ON_DISK), name)?;
    }
    find::find(name, wait)
}

fn on_disk(name: &str) -> Result<Files> {
    Files::at(&Path::new(ON_DISK).join(name).to_string_lossy())
}

fn needs_in(manifest: &Manifest<'_>) -> Vec<String> {
    manifest.needed_extensions().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::common::testing::{Temp, why};

    fn at(temp: &Temp, path: &str) -> Files {
        Files::at(&temp.path(path).to_string_lossy()).unwrap()
    }

    fn made(temp: &Temp, path: &str, needs: &str) -> Files {
        let files = at(temp, path);
        fs::create_dir_all(files.image().parent().unwrap()).unwrap();
        let text = format!(
            "format 1\nname {}\narchitecture amd64\nsuite x\nlibc 1\nsize 1\nsha256 00\n{needs}",
            files.name()
        );
        fs::write(files.manifest(), text).unwrap();
        fs::write(files.image(), "x").unwrap();
        files
    }

    #[test]
    fn an_added_need_is_kept_too() {
        let temp = Temp::new();
        let (disk, source) = (at(&temp, "disk/a"), made(&temp, "run/a", ""));
        let keep = |source| to_keep("a", &disk, source);
        assert_eq!(keep(Some(source.clone())), Ok(Some(source.clone())));
        fs::remove_file(source.manifest()).unwrap();
        for gone in [Some(source), None] {
            assert!(why(keep(gone)).contains("b2p ext add --keep a from another place"));
        }
        made(&temp, "disk/a", "");
        assert_eq!(keep(None), Ok(None));
    }

    #[test]
    fn needs_are_found_beside_the_file() {
        let temp = Temp::new();
        let top = made(&temp, "x/top", "needs middle\n");
        let middle = made(&temp, "x/middle", "needs low\n");
        let low = made(&temp, "x/low", "");
        let places = |origin| Places {
            origin,
            ..Places::of(Wait::No, false)
        };
        let text = fs::read(top.manifest()).unwrap();
        let beside = places(Origin::Beside(top));
        assert_eq!(beside.of_needs("top", &text), Ok(vec![low.clone(), middle]));
        low.remove();
        let missing = why(beside.of_needs("top", &text));
        assert!(missing.contains("middle needs the extension low: no such extension"));
        let from_web = why(places(Origin::Web).of_needs("top", &text));
        assert!(
            from_web
                .starts_with("top needs the extension middle: add it first, by its own address")
        );
    }
}
