// SPDX-License-Identifier: Apache-2.0
//! The user who may log in beside root: the files of /etc that name the user, another name or number
//! for the user in these files, and the home.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::error::{Doing, Result};
use crate::files::{Replace, read_text};

/// Group that may read /etc/shadow.
const SHADOW_GID: u32 = 42;
/// File with the numbers of users.
const PASSWD: &str = "passwd";
/// Files that name the user, and the fields of a line that have the user's numbers.
const FILES: &[(&str, &[usize])] = &[
    ("group", &[2]),
    ("shadow", &[]),
    ("subuid", &[]),
    ("subgid", &[]),
    // passwd is the last file, since passwd decides which user exists.
    (PASSWD, &[2, 3]),
];

/// Name and number of a user; the user's group has both as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Login name.
    pub name: &'a str,
    /// Number of the user and of its group.
    pub uid: u32,
}

/// Returns true if there is a user of this name and number.
///
/// # Errors
/// /etc/passwd cannot be read.
fn has(etc: &Path, user: Identity<'_>) -> Result<bool> {
    let path = etc.join(PASSWD);
    let passwd = read_text(&path)?;
    Ok(present(&passwd, user.name) == Some(user))
}

/// Gives the user `was` the name and the number of `is` below `root`, and a home of that name. An
/// existing user with both is not changed.
///
/// # Errors
/// A file or the home cannot be read or written.
pub fn make_user(
    root: &Path,
    was: Identity<'_>,
    is: Identity<'_>,
    replace: Replace<'_>,
) -> Result<()> {
    let etc = root.join("etc");
    if was == is || has(&etc, is)? {
        return Ok(());
    }
    let homes = root.join("home");
    if was.name != is.name {
        // Only an empty home is removed.
        let _ = fs::remove_dir(homes.join(was.name));
    }
    make_private(&homes.join(is.name), is.uid)?;
    change(&etc, was, is, replace)
}

/// Makes a directory that only the user with this number may use. One that is the user's already keeps
/// its mode.
///
/// # Errors
/// The directory cannot be made.
pub fn make_private(dir: &Path, uid: u32) -> Result<()> {
    fs::create_dir_all(dir).on(dir)?;
    if fs::metadata(dir).on(dir)?.uid() == uid && uid != 0 {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).on(dir)?;
    // Last: a directory of root's is one that is not finished.
    chown(dir, Some(uid), Some(uid)).on(dir)
}

/// Returns the name of the first user with this number.
///
/// # Errors
/// /etc/passwd cannot be read.
pub fn owner(etc: &Path, uid: u32) -> Result<Option<String>> {
    let path = etc.join(PASSWD);
    let passwd = read_text(&path)?;
    let mut fields = passwd.lines().map(|line| line.split(':'));
    let name = fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    Ok(name)
}

/// Gives the user `was` the name and the number of `is` in the files of `etc`. An existing user of
/// that name gets the number only, and `was` stays: a second call changes nothing.
///
/// # Errors
/// A file cannot be read or written.
pub fn change(etc: &Path, was: Identity<'_>, is: Identity<'_>, replace: Replace<'_>) -> Result<()> {
    let path = etc.join(PASSWD);
    let passwd = read_text(&path)?;
    let was = present(&passwd, is.name).unwrap_or(was);
    if was == is {
        return Ok(());
    }
    let mut files = FILES.iter();
    files.try_for_each(|(file, numbers)| {
        change_file(&etc.join(file), replace, |text| {
            text_of(file, text, was, is, numbers)
        })
    })
}

/// Returns the text of a file of /etc with the user `is` in place of `was`; unchanged for a file that
/// names no users.
#[must_use]
pub fn text_with(file: &str, text: &str, was: Identity<'_>, is: Identity<'_>) -> String {
    let row = FILES.iter().find(|(name, _)| *name == file);
    row.map_or(text.to_owned(), |(_, numbers)| {
        text_of(file, text, was, is, numbers)
    })
}

fn text_of(
    file: &str,
    text: &str,
    was: Identity<'_>,
    is: Identity<'_>,
    numbers: &[usize],
) -> String {
    let text = changed(text, was, is, numbers);
    match file {
        "subuid" | "subgid" => without_own(&text, is),
        _ => text,
    }
}

/// Returns the text of subuid(5) without the user's own number in the user's range: a container must not run
/// programs with the number of a user. Of the numbers before and after it, the larger part stays, so that the range
/// does not come to overlap that of another user.
fn without_own(text: &str, user: Identity<'_>) -> String {
    let part = |line: &str| -> Option<(u64, u64)> {
        let (start, count) = line
            .strip_prefix(user.name)?
            .strip_prefix(':')?
            .split_once(':')?;
        let (start, count): (u64, u64) = (start.parse().ok()?, count.parse().ok()?);
        let (own, end) = (u64::from(user.uid), start.checked_add(count)?);
        let is_in = (start..end).contains(&own);
        let (before, after) = (own.checked_sub(start)?, end.checked_sub(own + 1)?);
        let larger = match before > after {
            true => (start, before),
            false => (own + 1, after),
        };
        is_in.then_some(larger)
    };
    let line = |line: &str| match part(line) {
        Some((start, count)) => format!("{}:{start}:{count}\n", user.name),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Returns the user of this name in a text of passwd(5) or group(5).
#[must_use]
pub fn present<'a>(passwd: &str, name: &'a str) -> Option<Identity<'a>> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let is_own = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        is_own.then_some(Identity { name, uid })
    })
}

fn change_file(
    path: &Path,
    replace: Replace<'_>,
    change: impl FnOnce(&str) -> String,
) -> Result<()> {
    let before = read_text(path)?;
    let after = change(&before);
    if after == before {
        return Ok(());
    }
    let (mode, group) = match path.ends_with("shadow") {
        true => (0o640, Some(SHADOW_GID)),
        false => (0o644, None),
    };
    replace(path, after.as_bytes(), mode, group)
}

/// Changes the user in the text of an account file: the name as a whole field or a whole item of a
/// list, and at the end of the path of a home; the number in these fields of the lines that begin
/// with the name.
fn changed(text: &str, was: Identity<'_>, is: Identity<'_>, numbers: &[usize]) -> String {
    let home = format!("/home/{}", was.name);
    let number = was.uid.to_string();
    let change_item = |item: &str| match item {
        item if item == was.name => is.name.to_owned(),
        item if item == home => format!("/home/{}", is.name),
        item => item.to_owned(),
    };
    let change_line = |line: &str| {
        let is_own = line.split(':').next() == Some(was.name);
        let change_field = |(index, field): (usize, &str)| {
            if is_own && numbers.contains(&index) && field == number {
                return is.uid.to_string();
            }
            let items: Vec<String> = field.split(',').map(change_item).collect();
            items.join(",")
        };
        let fields: Vec<String> = line.split(':').enumerate().map(change_field).collect();
        fields.join(":") + "\n"
    };
    text.lines().map(change_line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::replace_at_once;

    const CORE: Identity<'_> = Identity {
        name: "core",
        uid: 1000,
    };

    #[test]
    fn only_whole_names_and_own_numbers_are_replaced() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000:core:/home/core:/bin/bash\n";
        let group = "adm:x:4:core\nscore:x:1000:hardcore,core,x\ncore:x:1000:\n";
        let subuid = "core:100000:1000000\ncontainers:1000:1000\n";
        let me = Identity {
            name: "me",
            uid: 1000,
        };
        let mac = Identity {
            name: "core",
            uid: 501,
        };
        for (text, is, numbers, want) in [
            (
                passwd,
                me,
                &[2, 3][..],
                "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000:me:/home/me:/bin/bash\n",
            ),
            (
                passwd,
                mac,
                &[2, 3],
                "root:x:0:0:root:/root:/bin/bash\ncore:x:501:501:core:/home/core:/bin/bash\n",
            ),
            (
                group,
                me,
                &[2],
                "adm:x:4:me\nscore:x:1000:hardcore,me,x\nme:x:1000:\n",
            ),
            (
                group,
                mac,
                &[2],
                "adm:x:4:core\nscore:x:1000:hardcore,core,x\ncore:x:501:\n",
            ),
            (subuid, me, &[], "me:100000:1000000\ncontainers:1000:1000\n"),
            (subuid, mac, &[], subuid),
        ] {
            assert_eq!(changed(text, CORE, is, numbers), want);
        }
    }

    #[test]
    fn the_range_of_a_user_does_not_have_the_number_of_the_user() {
        let text = "core:100000:1000000\ncontainers:2147483647:2147483648\n";
        for (uid, range) in [
            (100_000, "100001:999999"),
            (200_001, "200002:899998"),
            (900_000, "100000:800000"),
            (1_099_999, "100000:999999"),
            (1_100_000, "100000:1000000"),
        ] {
            let ann = Identity { name: "ann", uid };
            let want = format!("ann:{range}\ncontainers:2147483647:2147483648\n");
            let once = text_with("subuid", text, CORE, ann);
            assert_eq!(once, want);
            assert_eq!(text_with("subgid", &once, ann, ann), want);
        }
        let odd = "core:x:1\ncore:1\ncore:18446744073709551615:2\n";
        assert_eq!(without_own(odd, CORE), odd);
    }

    #[test]
    fn a_second_change_finds_it_done() {
        let dir = std::env::temp_dir().join(format!("b2p-account-files-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let ann = "ann:x:1000:1000::/home/ann.guest:/bin/sh\n";
        let core = "core:x:1000:1000:core:/home/core:/bin/bash\n";
        let mac = "core:x:501:501:core:/home/core:/bin/bash\n";
        let row = |passwd: String, name, uid, want: String| (passwd, Identity { name, uid }, want);
        for (passwd, is, want) in [
            row(core.into(), "core", 1000, core.into()),
            row(core.into(), "core", 501, mac.into()),
            row([ann, core].concat(), "core", 501, [ann, mac].concat()),
            // A user besides the image's keeps its home, and the image's stays.
            row([ann, core].concat(), "ann", 1000, [ann, core].concat()),
            row(
                [ann, core].concat(),
                "ann",
                501,
                ["ann:x:501:501::/home/ann.guest:/bin/sh\n", core].concat(),
            ),
        ] {
            for (file, _) in FILES {
                fs::write(dir.join(file), "").unwrap();
            }
            fs::write(dir.join(PASSWD), &passwd).unwrap();
            for _ in 0..2 {
                change(&dir, CORE, is, &replace_at_once).unwrap();
                assert!(has(&dir, is).unwrap());
                assert_eq!(fs::read_to_string(dir.join(PASSWD)).unwrap(), want);
            }
        }
        // The first line with a number counts.
        fs::write(dir.join(PASSWD), [ann, core].concat()).unwrap();
        assert_eq!(owner(&dir, 1000).unwrap().as_deref(), Some("ann"));
        assert_eq!(owner(&dir, 7).unwrap(), None);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn every_file_is_replaced_by_the_way_that_the_caller_has() {
        let name = format!("b2p-account-replace-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        for (file, _) in FILES {
            fs::write(dir.join(file), "core:x:1000:1000::/home/core:/bin/sh\n").unwrap();
        }
        let seen = std::cell::RefCell::new(Vec::new());
        let is = Identity {
            name: "me",
            uid: 501,
        };
        let note = |path: &Path, bytes: &[u8], mode: u32, gid: Option<u32>| {
            assert!(bytes.starts_with(b"me:"));
            let name = path.file_name().unwrap_or_default().to_owned();
            seen.borrow_mut().push((name, mode, gid));
            Ok(())
        };
        change(&dir, CORE, is, &note).unwrap();
        let row = |name: &str, mode, gid| (name.into(), mode, gid);
        let want = [
            row("group", 0o644, None),
            row("shadow", 0o640, Some(SHADOW_GID)),
            row("subuid", 0o644, None),
            row("subgid", 0o644, None),
            row("passwd", 0o644, None),
        ];
        assert_eq!(seen.into_inner(), want);
        let left = fs::read_to_string(dir.join(PASSWD)).unwrap();
        assert!(left.starts_with("core:"), "nothing else writes");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_home_is_made_once_and_keeps_the_mode_that_its_owner_gives_it() {
        const PASSWD_LINE: &str = "core:x:1000:1000:core:/home/core:/bin/bash\n";
        let name = format!("b2p-account-home-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("home/core")).unwrap();
        for (file, _) in FILES {
            fs::write(root.join("etc").join(file), "").unwrap();
        }
        fs::write(root.join("etc").join(PASSWD), PASSWD_LINE).unwrap();
        let me = Identity {
            name: "me",
            uid: 501,
        };
        make_user(&root, CORE, me, &replace_at_once).unwrap();
        let home = fs::metadata(root.join("home/me")).unwrap();
        assert_eq!((home.uid(), home.mode() & 0o777), (501, 0o700));
        assert!(!root.join("home/core").exists());
        fs::set_permissions(root.join("home/me"), Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("etc").join(PASSWD), PASSWD_LINE).unwrap();
        make_user(&root, CORE, me, &replace_at_once).unwrap();
        let home = fs::metadata(root.join("home/me")).unwrap();
        assert_eq!((home.uid(), home.mode() & 0o777), (501, 0o755));
        fs::remove_dir_all(root).unwrap();
    }
}
