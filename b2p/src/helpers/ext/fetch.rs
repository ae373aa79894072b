// SPDX-License-Identifier: Apache-2.0
//! Extensions from a web server, by busybox's wget, which checks no certificates: a person gives a SHA-256. The
//! SHA-256 of the manifest covers the image, because the manifest contains the image's SHA-256. The SHA-256 of the image
//! covers its files, and the server then decides which modules and services start.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use disk::uuid::hex;
use sha2::{Digest, Sha256};
use sys::error::{Doing, Error, Result};

use super::find::Files;
use super::manifest::{MAX_BYTES, Manifest};
use super::room::ensure_room;
use super::wget;

/// End of the name of an image that is not complete.
const PART: &str = "part";
/// An extension on a server: the part that the addresses of image and manifest have in common, and the
/// SHA-256 of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    base: String,
    /// Name of the extension.
    pub name: String,
    sha256: String,
}

/// Returns true if a word is an address and not a name or a path.
pub fn is_address(word: &str) -> bool {
    word.split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Returns an address for the terminal and the log: without the user and the password, and without the sum.
pub fn shown(word: &str) -> String {
    let (url, _) = word.split_once('#').unwrap_or((word, ""));
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let user = user_of(url).map_or(0, |user| user.len() + 1);
    format!("{scheme}://{}", rest.get(user..).unwrap_or_default())
}

/// Returns the user of an address, with the password (RFC 3986, section 3.2.1).
fn user_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split('/').next().unwrap_or_default();
    Some(host.rsplit_once('@')?.0)
}

impl Address {
    /// Parses `URL` with `sum`, or `URL#sum` and `URL#sha256=sum`.
    ///
    /// # Errors
    /// The address or the sum is wrong; the error says what would be right.
    pub fn parse(word: &str, sum: Option<&str>) -> Result<Address> {
        let wrong = |reason: &str| Err(Error::invalid(reason.to_owned()));
        let (url, fragment) = word.split_once('#').unwrap_or((word, ""));
        if sum.is_some() && !fragment.is_empty() {
            return wrong("it has two sums: URL#SUM or --sha256 SUM");
        }
        let given = sum.unwrap_or(fragment.strip_prefix("sha256=").unwrap_or(fragment));
        let is_sum = given.len() == 64 && given.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_sum {
            return wrong(
                "an extension needs the SHA-256 of its manifest or image: URL#SUM or --sha256 SUM, as \
                 `sha256sum NAME.manifest` prints it",
            );
        }
        let printable = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b);
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        if !is_web || !url.bytes().all(printable) || url.contains('?') {
            return wrong("not an address of a file: http(s)://HOST/PATH/NAME.manifest");
        }
        if user_of(url).is_some() {
            return wrong(
                "a user and a password in an address are seen by every user of the machine (ps); fetch both files \
                 by other means, and add the image by its path",
            );
        }
        let stem = url.strip_suffix(".manifest").or(url.strip_suffix(".erofs"));
        let base = stem.unwrap_or(url);
        let path = base.split_once("://").map_or("", |(_, rest)| rest);
        let name = path.rsplit_once('/').map_or("", |(_, name)| name);
        if !config::is_extension_name(name) {
            return wrong(
                "the last part is not a name of an extension: http(s)://HOST/PATH/NAME.manifest",
            );
        }
        Ok(Address {
            base: base.to_owned(),
            name: name.to_owned(),
            sha256: given.to_ascii_lowercase(),
        })
    }

    /// Fetches the manifest, which has the SHA-256 given, or is that of an image with it.
    ///
    /// # Errors
    /// The server does not answer, or the sum differs.
    pub fn manifest(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.download("manifest", MAX_BYTES, &mut text)?;
        self.checked_manifest(&text)?;
        Ok(text)
    }

    /// Fetches the image of a manifest into the directory `dir`, and writes the manifest beside it. The image has
    /// another name until it is complete, and no file is written over: one of an extension that is added may be
    /// mounted. After an error, [`sweep`] removes what was fetched.
    ///
    /// # Errors
    /// The server does not answer, a sum differs, or there is no room.
    pub fn fetch(&self, dir: &Path, text: &[u8], manifest: &Manifest<'_>) -> Result<Files> {
        fs::create_dir_all(dir).on(dir)?;
        let files = Files::at(&dir.join(&self.name).to_string_lossy())?;
        let size = manifest.value("size").parse::<u64>();
        let size = size.map_err(|_| Error::invalid("its manifest has no size in bytes"))?;
        ensure_room(dir, size)?;
        let part = dir.join(format!("{}.{PART}", self.name));
        let _ = fs::remove_file(&part);
        let mut writer = Hashed {
            file: File::create_new(&part).on(&part)?,
            hash: Sha256::new(),
        };
        self.download("erofs", size, &mut writer)?;
        let (sum, expected) = (hex(&writer.hash.finalize()), manifest.value("sha256"));
        if sum != expected {
            return Err(Error::invalid(format!(
                "the SHA-256 of its image is {sum}, its manifest says {expected}: nothing is kept of it"
            )));
        }
        sys::files::replace(&files.manifest(), text, 0o644)?;
        fs::rename(&part, files.image()).on(part)?;
        Ok(files)
    }

    fn download(&self, ending: &str, max: u64, to: &mut dyn Write) -> Result<()> {
        let url = format!("{}.{ending}", self.base);
        wget::download(&url, max, to).doing(url)
    }

    /// Parses a manifest that has the SHA-256 given, or is that of an image with it.
    fn checked_manifest<'t>(&self, text: &'t [u8]) -> Result<Manifest<'t>> {
        let sum = hex(&Sha256::digest(text));
        let manifest = Manifest::parse(text);
        let image_sum = manifest.as_ref().map_or("", |m| m.value("sha256"));
        if ![sum.as_str(), image_sum].contains(&self.sha256.as_str()) {
            return Err(Error::invalid(format!(
                "the SHA-256 of its manifest is {sum}, not {}, and the manifest has no image with that: nothing is \
                 kept of it",
                self.sha256
            )));
        }
        manifest
    }
}

/// Removes the files in a directory that are not those of the extensions `added`.
pub fn sweep(dir: &Path, added: &[String]) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_part = path.extension().is_none_or(|end| end == PART);
        if is_part || !added.contains(&name.into_owned()) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Writes to a file and hashes at once.
struct Hashed {
    file: File,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn an_address_has_a_name_and_a_sum() {
        let sum = "0a".repeat(32);
        let expected = Address {
            base: "https://host/x/debug".into(),
            name: "debug".into(),
            sha256: sum.clone(),
        };
        for word in ["debug", "debug.manifest", "debug.erofs"] {
            let url = format!("https://host/x/{word}");
            assert_eq!(Address::parse(&url, Some(&sum)).as_ref(), Ok(&expected));
            assert_eq!(
                Address::parse(&format!("{url}#{}", sum.to_uppercase()), None).as_ref(),
                Ok(&expected)
            );
            assert_eq!(
                Address::parse(&format!("{url}#sha256={sum}"), None).as_ref(),
                Ok(&expected)
            );
        }
        for (url, sum, reason) in [
            ("https://host/debug", "", "sha256sum NAME.manifest"),
            (
                "https://host/debug",
                "0a",
                "needs the SHA-256 of its manifest or image",
            ),
            ("https://host/De bug", &sum, "not an address"),
            ("https://host/debug?x=1", &sum, "not an address"),
            ("file:///x/debug", &sum, "not an address of a file: http(s)"),
            ("https://debug", &sum, "the last part is not a name"),
            ("https://me:p@w@host/debug", &sum, "seen by every user"),
            ("https://me@host:1/debug", &sum, "seen by every user"),
            (
                "https://host/de.bug.iso",
                &sum,
                "the last part is not a name",
            ),
        ] {
            assert!(
                why(Address::parse(url, Some(sum))).contains(reason),
                "{url}"
            );
        }
        let both = Address::parse(&format!("https://host/debug#{sum}"), Some(&sum));
        assert!(why(both).contains("it has two sums"));
        assert!(is_address("http://x/y") && !is_address("debug") && !is_address("/http://x"));
        assert!(is_address("file:///x") && is_address("HTTP://x/y"));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (word, expected) in [
            ("debug", "debug"),
            ("https://host/a@b/x#0a", "https://host/a@b/x"),
            ("http://me:p@w@host:1/x", "http://host:1/x"),
        ] {
            assert_eq!(shown(word), expected);
        }
    }

    #[test]
    fn sweep_removes_downloads_of_no_added_extension() {
        let temp = Temp::new();
        let names = ["a.erofs", "a.manifest", "a.part", "b.erofs", "b.manifest"];
        names
            .iter()
            .for_each(|n| fs::write(temp.path(n), "").unwrap());
        sweep(temp.dir(), &["a".into()]);
        let entries = fs::read_dir(temp.dir()).unwrap().flatten();
        let mut left: Vec<_> = entries.map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.erofs", "a.manifest"]);
    }

    #[test]
    fn the_sum_is_that_of_the_manifest_or_of_the_image() {
        let image = "0a".repeat(32);
        let text = format!(
            "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\nsha256 {image}\n"
        );
        let sum = hex(&Sha256::digest(text.as_bytes()));
        let check = |given: &str| {
            let address = Address::parse("http://host/a.erofs", Some(given)).unwrap();
            address.checked_manifest(text.as_bytes()).map(drop)
        };
        assert_eq!(check(&sum), Ok(()));
        assert_eq!(check(&image.to_uppercase()), Ok(()));
        let refused = why(check(&"0b".repeat(32)));
        assert!(
            refused.contains(&sum) && refused.contains("no image with that"),
            "{refused}"
        );
        // What is no manifest is refused by its sum first.
        let address = Address::parse("http://host/a", Some(&image)).unwrap();
        assert!(why(address.checked_manifest(b"<html>").map(drop)).contains("nothing is kept"));
    }
}
