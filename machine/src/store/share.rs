// SPDX-License-Identifier: Apache-2.0
//! Folder of this host that a machine sees.

use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// Folder, and its place in the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Directory of this host.
    pub source: PathBuf,
    /// Directory of the machine.
    pub target: String,
    /// True if the machine cannot write.
    #[serde(default)]
    pub read_only: bool,
}

/// Returns a place without slashes at its end, as the machine reads it.
#[must_use]
pub fn trimmed(target: &str) -> &str {
    match target.trim_end_matches('/') {
        "" if !target.is_empty() => "/",
        trimmed => trimmed,
    }
}

/// Returns the place in the machine of a directory of this host, if it is shared.
#[must_use]
pub fn place(shares: &[Share], directory: &Path) -> Option<String> {
    let holding = shares
        .iter()
        .filter(|share| directory.starts_with(&share.source));
    let share = holding.max_by_key(|share| share.source.components().count())?;
    let below = directory.strip_prefix(&share.source).ok()?;
    Path::new(&share.target)
        .join(below)
        .to_str()
        .map(str::to_owned)
}

/// Returns the place in the machine of a directory that the user named without one. The path is the one that the user
/// has typed, also through a link, because clients use the same; a path with `..` is replaced by the real one.
fn default_target(named: &Path, source: &Path) -> PathBuf {
    match named.components().any(|part| part == Component::ParentDir) {
        true => source.to_owned(),
        false => named.components().collect(),
    }
}

/// Returns the reason of a problem without the machine's own place of the value, which the user has not typed.
fn reason(problem: &str) -> &str {
    problem
        .split_once(": ignored: ")
        .map_or(problem, |(_, why)| why)
}

impl Share {
    /// Parses `SRC[:DST][:ro|:rw]`; `home` is the user's home directory. The place in the machine is
    /// that of the host unless it is given.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self> {
        let wrong =
            |why: &str| Fault::with_status(format!("Error: --volume {text}: {why}"), PRE_CREATE);
        let mut words: Vec<&str> = text.split(':').collect();
        let options = match words.as_slice() {
            [_, .., "ro"] => Some(true),
            [_, .., "rw"] => Some(false),
            _ => None,
        };
        if options.is_some() {
            words.pop();
        }
        let (source, target) = match words.as_slice() {
            [source] => (*source, None),
            [source, target] => (*source, Some(*target)),
            _ => return Err(wrong("must be SRC[:DST][:ro]").into()),
        };
        let named = match (source, home) {
            ("", _) => return Err(wrong("must be SRC[:DST][:ro]").into()),
            ("home", Some(home)) => home.to_owned(),
            _ => std::path::absolute(source)?,
        };
        if !named.is_dir() {
            return Err(wrong("no such directory on this host: nothing would be shared").into());
        }
        let source = named.canonicalize()?;
        let default = default_target(&named, &source);
        let default = default.to_str().context("a path of UTF-8")?;
        let target = trimmed(target.unwrap_or(default)).to_owned();
        let share = Self {
            source,
            target,
            read_only: options == Some(true),
        };
        // The machine's own parser judges the place.
        match problem(&[("share".to_owned(), share.flag("pm0") + "\n")]) {
            Some(why) => Err(wrong(reason(&why)).into()),
            None => Ok(share),
        }
    }

    /// Returns the value of the flag `b2p.share` for a tag.
    #[must_use]
    pub fn flag(&self, tag: &str) -> String {
        let end = if self.read_only { ":ro" } else { "" };
        format!("{tag}:{}{end}", self.target)
    }
}

/// Returns the fault that the machine will report in fw_cfg entries, with the same text.
#[must_use]
pub fn problem(entries: &[(String, String)]) -> Option<String> {
    let entries: Vec<config::FwCfg<'_>> = entries
        .iter()
        .map(|(name, value)| config::FwCfg {
            name: name.as_bytes(),
            value: value.as_bytes(),
        })
        .collect();
    let (_, diagnostics) = config::parse(&[], &entries);
    diagnostics.first().map(ToString::to_string)
}

/// Returns the tag of a share by its place in the list.
#[must_use]
pub fn tag(index: usize) -> String {
    format!("pm{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_machine() {
        let share = |source: &str, target: &str| Share {
            source: source.into(),
            target: target.to_owned(),
            read_only: false,
        };
        let shares = [share("/home/a", "/home/a"), share("/home/a/w", "/mnt/w")];
        for (directory, expected) in [
            ("/home/a", Some("/home/a/")),
            ("/home/a/x y", Some("/home/a/x y")),
            ("/home/a/w/deep", Some("/mnt/w/deep")),
            ("/home/ab", None),
            ("/", None),
        ] {
            let found = place(&shares, Path::new(directory));
            assert_eq!(found.as_deref(), expected, "{directory}");
        }
    }

    #[test]
    fn volumes_are_parsed_with_target_and_mode() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dir = tmp.path().join("a b");
        std::fs::create_dir(&dir).expect("made");
        let dir = dir.to_str().expect("UTF-8");
        let share = |target: &str, read_only| Share {
            source: dir.into(),
            target: target.to_owned(),
            read_only,
        };
        for (text, expected) in [
            (format!("{dir}:/mnt/x"), share("/mnt/x", false)),
            (format!("{dir}:/mnt/x:ro"), share("/mnt/x", true)),
            (format!("{dir}:/mnt/x:rw"), share("/mnt/x", false)),
            (
                "home:/home/core/host".to_owned(),
                share("/home/core/host", false),
            ),
        ] {
            assert_eq!(
                Share::parse(&text, Some(Path::new(dir))).expect(&text),
                expected
            );
        }
        for text in [
            "".to_owned(),
            ":/x".to_owned(),
            "/nonexistent".to_owned(),
            format!("{dir}:"),
            format!("{dir}:x"),
            format!("{dir}:/usr"),
            format!("{dir}:/mnt/../etc"),
            format!("{dir}:/mnt/x:ro:rw"),
            format!("{dir}:/a:/b:/c"),
            format!("{dir}/none:/mnt/x"),
        ] {
            let error = Share::parse(&text, None).expect_err(&text).to_string();
            assert!(
                error.starts_with("Error: --volume") && !error.contains(['\n', '=']),
                "{error}"
            );
        }
    }

    #[test]
    fn a_directory_is_one_by_every_spelling() {
        let tmp = tempfile::tempdir().expect("a directory");
        let top = tmp.path().canonicalize().expect("there");
        let web = top.join("web");
        std::fs::create_dir(&web).expect("made");
        std::os::unix::fs::symlink("web", top.join("link")).expect("linked");
        let top = top.to_str().expect("UTF-8");
        for (text, target) in [
            (format!("{top}/web"), format!("{top}/web")),
            (format!("{top}/web/"), format!("{top}/web")),
            (format!("{top}//web/."), format!("{top}/web")),
            (format!("{top}/web/../web"), format!("{top}/web")),
            (format!("{top}/link"), format!("{top}/link")),
            (format!("{top}/link/:/mnt/x//"), "/mnt/x".to_owned()),
        ] {
            let share = Share::parse(&text, None).expect(&text);
            assert_eq!(
                (share.source.as_path(), share.target),
                (web.as_path(), target),
                "{text}"
            );
        }
    }

    #[test]
    fn the_place_is_that_of_the_host() {
        let share = Share::parse("/opt", None).expect("there");
        assert_eq!(
            (share.target.as_str(), share.flag("pm0")),
            ("/opt", "pm0:/opt".to_owned())
        );
        let share = Share::parse("/opt:ro", None).expect("there");
        assert_eq!(share.flag("pm1"), "pm1:/opt:ro");
    }
}
