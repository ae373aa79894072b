// SPDX-License-Identifier: Apache-2.0
//! Decision on each kept file: the file stays, or gives way to the file of the image. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Properties of a file or a symbolic link that a user can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits.
    pub mode: u32,
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// SHA-256 sum of a file, or `-> ` and the target of a link.
    pub content: String,
}

/// Entries by their paths, which begin with the name of their tree.
pub type Listing = BTreeMap<String, Entry>;

/// Fate of a kept file that the image ships as well, or did once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The user changed the file.
    Stays,
    /// The user changed the file, and the image has another one since.
    StaysBehind,
    /// The file is unchanged; the file of the image replaces it.
    GivesWay,
}

/// Decides on a kept file by the image's file of this boot and by the one that was recorded when
/// the image was last another one.
pub fn fate(kept: &Entry, shipped: Option<&Entry>, recorded: Option<&Entry>) -> Fate {
    let is_unchanged = Some(kept) == shipped || Some(kept) == recorded;
    match is_unchanged {
        true => Fate::GivesWay,
        false if shipped.is_some() && recorded.is_some() && shipped != recorded => {
            Fate::StaysBehind
        }
        false => Fate::Stays,
    }
}

/// Writes a listing, a line for each entry: mode, user, group, content and path, with tabs
/// between them. A path or target with a control character is left out.
pub fn to_text(listing: &Listing) -> String {
    let mut text = String::new();
    for (path, entry) in listing {
        let Entry {
            mode,
            uid,
            gid,
            content,
        } = entry;
        if !path.contains(char::is_control) && !content.contains(char::is_control) {
            let _ = writeln!(text, "{mode:o}\t{uid}\t{gid}\t{content}\t{path}");
        }
    }
    text
}

/// Reads the output of [`to_text`]; other lines do not count.
pub fn from_text(text: &str) -> Listing {
    let line = |line: &str| {
        let mut fields = line.splitn(5, '\t');
        let entry = Entry {
            mode: u32::from_str_radix(fields.next()?, 8).ok()?,
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
            content: fields.next()?.to_owned(),
        };
        Some((fields.next()?.to_owned(), entry))
    };
    sys::sort::inserted(text.lines().filter_map(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str) -> Entry {
        Entry {
            mode: 0o644,
            uid: 0,
            gid: 0,
            content: content.to_owned(),
        }
    }

    #[test]
    fn the_image_wins_where_the_owner_changed_nothing() {
        let (old, new, own) = (entry("old"), entry("new"), entry("own"));
        let chmod = Entry {
            mode: 0o600,
            ..old.clone()
        };
        for (kept, shipped, recorded, want) in [
            (&old, Some(&old), Some(&old), Fate::GivesWay),
            (&old, Some(&new), Some(&old), Fate::GivesWay),
            (&old, None, Some(&old), Fate::GivesWay),
            (&new, Some(&new), Some(&old), Fate::GivesWay),
            (&new, Some(&new), None, Fate::GivesWay),
            (&own, Some(&old), Some(&old), Fate::Stays),
            (&own, Some(&new), Some(&old), Fate::StaysBehind),
            (&own, Some(&new), None, Fate::Stays),
            (&own, None, Some(&old), Fate::Stays),
            (&own, None, None, Fate::Stays),
            (&chmod, Some(&old), Some(&old), Fate::Stays),
        ] {
            assert_eq!(fate(kept, shipped, recorded), want, "{kept:?} {shipped:?}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let listing = Listing::from([
            ("etc/a b".to_owned(), entry("00ff")),
            ("etc/link".to_owned(), entry("-> ../x")),
        ]);
        assert_eq!(from_text(&to_text(&listing)), listing);
        let odd = Listing::from([("etc/a\nb".to_owned(), entry("0"))]);
        assert_eq!(to_text(&odd), "");
        for garbage in [
            "",
            "x",
            "644\t0\t0\tff",
            "9\t0\t0\tff\tp",
            "\u{fffd}\t\t\t\t",
        ] {
            assert_eq!(from_text(garbage), Listing::new(), "{garbage}");
        }
    }
}
