// SPDX-License-Identifier: Apache-2.0
//! Users that are added while the machine runs, over the texts of the files that list users.
//! Pure. No user has a password.

pub mod numbers;

use numbers::{Kind, Numbers};
use sys::error::{Error, Result};

/// Texts of the files that list users and their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Text of /etc/passwd (passwd(5)).
    pub passwd: String,
    /// Text of /etc/group (group(5)).
    pub group: String,
    /// Text of /etc/shadow (shadow(5)).
    pub shadow: String,
    /// Text of /etc/subuid (subuid(5)).
    pub subuid: String,
    /// Text of /etc/subgid (subgid(5)).
    pub subgid: String,
    /// Numbers of earlier boots, which no new name gets.
    pub numbers: Numbers,
}

/// Request for a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Number; by default the current one, that of an earlier boot, or the next free one.
    pub uid: Option<u32>,
    /// Comment field of passwd(5); an empty text leaves the current one.
    pub gecos: String,
    /// Home directory; by default the current one, or `/home/NAME`.
    pub home: Option<String>,
    /// Login shell; by default the current one, or bash.
    pub shell: Option<String>,
    /// Groups besides the user's own; missing ones are made.
    pub groups: Vec<String>,
}

/// Entry that a user has in passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Number of the user.
    pub uid: u32,
    /// Number of its own group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// First number of users and groups for people.
const FIRST_UID: u32 = 1000;
/// Numbers of users for programs (Debian policy 9.2.2).
const SYSTEM_UIDS: std::ops::RangeInclusive<u32> = 100..=999;
/// Count of numbers that are searched for a free one.
const UID_SEARCH: u32 = 60_000;
/// First subordinate id of the first user (subuid(5)).
const FIRST_SUBORDINATE: u64 = 100_000;
/// Count of subordinate ids of each user.
const SUBORDINATE_COUNT: u64 = 65_536;
/// End of the subordinate ids of users; above are those of `containers`
/// (initramfs/files/etc/subuid).
const SUBORDINATE_END: u64 = 2_147_483_647;

/// Adds a user, or changes the one of that name; a second call changes nothing. A user that
/// requests the number of another is put before the other in passwd(5): programs that look up the
/// number find the name that was added last.
///
/// # Errors
/// No number is free.
pub fn set(files: &mut Files, user: &User) -> Result<Account> {
    let name = &user.name;
    let current: Vec<String> = line_of(&files.passwd, name)
        .map(|line| line.split(':').map(str::to_owned).collect())
        .unwrap_or_default();
    let field = |index: usize| current.get(index).cloned();
    let number = |index: usize| field(index)?.parse::<u32>().ok();
    let full = || Error::invalid(format!("{name}: no number is left for it"));
    let uid = user.uid.or_else(|| number(2));
    let uid = uid.or_else(|| files.own_or_free(Kind::User, name, FIRST_UID));
    let uid = uid.ok_or_else(full)?;
    let group = gid_of(&files.group, name).or_else(|| files.own_or_free(Kind::Group, name, uid));
    let group = group.ok_or_else(full)?;
    // newuidmap(1) refuses a process whose group is not that of the first name of its number, and services run as the
    // machine's user, whose number this may be.
    let shared = || gid_of_number(&files.passwd, uid, name);
    let gid = number(3).or_else(shared).unwrap_or(group);
    let home = user.home.clone().or_else(|| field(5));
    let home = home.unwrap_or_else(|| format!("/home/{name}"));
    let shell = user.shell.clone().or_else(|| field(6));
    let shell = shell.unwrap_or_else(|| "/bin/bash".to_owned());
    let gecos = match user.gecos.as_str() {
        "" => field(4).unwrap_or_default(),
        gecos => gecos.to_owned(),
    };
    let line = format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}");
    files.passwd = with_line(&files.passwd, name, &line, |l| number_of(l) == Some(uid));
    if gid_of(&files.group, name).is_none() && !has_number(&files.group, group) {
        let line = format!("{name}:x:{group}:");
        files.group = with_line(&files.group, name, &line, |_| false);
    }
    set_memberships(files, user, uid);
    Ok(Account { uid, gid, home })
}

/// Adds a user to its groups, to shadow(5) without a password, and to the files of subordinate ids.
fn set_memberships(files: &mut Files, user: &User, uid: u32) {
    let name = &user.name;
    for group in &user.groups {
        files.group = files.with_member(group, name);
    }
    if line_of(&files.shadow, name).is_none() {
        let line = format!("{name}:*:20000:0:99999:7:::");
        files.shadow = with_line(&files.shadow, name, &line, |_| false);
    }
    if uid != 0 {
        files.subuid = files.with_subordinates(Kind::Subuid, &files.subuid, name);
        files.subgid = files.with_subordinates(Kind::Subgid, &files.subgid, name);
    }
}

/// Adds a user for a program, with a group of its own, no home directory and no subordinate
/// ids. An existing user of this name is not changed.
///
/// # Errors
/// The number is another's, the user has another number, a group has its name, or no number is free.
pub fn add_system_user(files: &mut Files, name: &str, uid: Option<u32>) -> Result<()> {
    let wrong = |why: String| Err(Error::invalid(why));
    let current = line_of(&files.passwd, name).map(number_of);
    match (current, uid) {
        (Some(has), Some(uid)) if has != Some(uid) => {
            let has = has.unwrap_or_default();
            return wrong(format!(
                "the user {name} has the number {has} here, not {uid}"
            ));
        }
        (Some(_), _) => return Ok(()),
        (None, Some(uid)) if has_number(&files.passwd, uid) => {
            return wrong(format!("another user than {name} has the number {uid}"));
        }
        (None, _) if gid_of(&files.group, name).is_some() => {
            return wrong(format!(
                "a group {name} is there, in which the user {name} would be; its group is to be its own"
            ));
        }
        (None, _) => {}
    }
    let free = || free_number(&files.passwd, *SYSTEM_UIDS.start(), |_| false);
    let uid = uid.or_else(|| free().filter(|uid| SYSTEM_UIDS.contains(uid)));
    if uid.is_none() {
        return wrong(format!("no number from 100 to 999 is left for {name}"));
    }
    let (subuid, subgid) = (files.subuid.clone(), files.subgid.clone());
    let user = User {
        name: name.to_owned(),
        uid,
        home: Some("/nonexistent".to_owned()),
        shell: Some("/usr/sbin/nologin".to_owned()),
        ..User::default()
    };
    set(files, &user)?;
    (files.subuid, files.subgid) = (subuid, subgid);
    Ok(())
}

/// Adds a group; an existing one of this name keeps its number.
///
/// # Errors
/// The number is another group's, or none is free.
pub fn add_group(files: &mut Files, name: &str, gid: Option<u32>) -> Result<()> {
    let wrong = |why: String| Err(Error::invalid(why));
    let gid = match (gid_of(&files.group, name), gid) {
        (Some(has), Some(gid)) if has != gid => {
            return wrong(format!("it has the number {has} already, not {gid}"));
        }
        (Some(_), _) => return Ok(()),
        (None, Some(gid)) if has_number(&files.group, gid) => {
            return wrong(format!("another group has the number {gid}"));
        }
        (None, gid) => gid.or_else(|| files.own_or_free(Kind::Group, name, FIRST_UID)),
    };
    let gid = gid.ok_or_else(|| Error::invalid(format!("{name}: no number is left for it")))?;
    files.group = with_line(&files.group, name, &format!("{name}:x:{gid}:"), |_| false);
    Ok(())
}

/// Removes a user, also as a member of groups. The user's own group stays, since files may belong
/// to it.
pub fn remove(files: &mut Files, name: &str) {
    for text in [
        &mut files.passwd,
        &mut files.shadow,
        &mut files.subuid,
        &mut files.subgid,
    ] {
        let others = text.lines().filter(|line| name_of(line) != Some(name));
        *text = others.map(|line| format!("{line}\n")).collect();
    }
    let without = |line: &str| {
        let (group, members) = line.rsplit_once(':').unwrap_or((line, ""));
        let others: Vec<&str> = members.split(',').filter(|m| *m != name).collect();
        format!("{group}:{}\n", others.join(","))
    };
    files.group = files.group.lines().map(without).collect();
}

fn name_of(line: &str) -> Option<&str> {
    line.split(':').next()
}

/// Number in the third field of a line of passwd(5) or group(5).
fn number_of(line: &str) -> Option<u32> {
    line.split(':').nth(2)?.parse().ok()
}

fn line_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| name_of(line) == Some(name))
}

fn gid_of(groups: &str, name: &str) -> Option<u32> {
    number_of(line_of(groups, name)?)
}

/// Returns the group of another user with this number.
fn gid_of_number(passwd: &str, uid: u32, other_than: &str) -> Option<u32> {
    let mut lines = passwd.lines();
    let is_other = |line: &&str| number_of(line) == Some(uid) && name_of(line) != Some(other_than);
    lines.find(is_other)?.split(':').nth(3)?.parse().ok()
}

fn has_number(text: &str, number: u32) -> bool {
    text.lines().filter_map(number_of).any(|n| n == number)
}

/// Returns the first number from `first` on that no line has, and that is not taken.
fn free_number(text: &str, first: u32, is_taken: impl Fn(u32) -> bool) -> Option<u32> {
    let mut candidates = first..first.saturating_add(UID_SEARCH);
    candidates.find(|number| !has_number(text, *number) && !is_taken(*number))
}

/// Returns the text with `line` before the first line that `precedes` picks; by default in the
/// place of the line of `name`, or at the end.
fn with_line(text: &str, name: &str, line: &str, precedes: impl Fn(&str) -> bool) -> String {
    let is_own = |line: &str| name_of(line) == Some(name);
    let others = text.lines().filter(|l| !is_own(l) && !l.is_empty());
    let mut lines: Vec<&str> = others.collect();
    let current = text.lines().position(is_own);
    let index = lines.iter().position(|l| precedes(l)).or(current);
    let index = index.unwrap_or(lines.len()).min(lines.len());
    lines.insert(index, line);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl Files {
    /// Returns the number that the name had in an earlier boot, if that number is free, or one from
    /// `first` on that no name has had.
    fn own_or_free(&self, kind: Kind, name: &str, first: u32) -> Option<u32> {
        let text = match kind {
            Kind::User => &self.passwd,
            _ => &self.group,
        };
        let own = self.numbers.of(kind, name);
        let own = own.filter(|number| !has_number(text, *number));
        own.or_else(|| free_number(text, first, |number| self.numbers.is_taken(kind, number)))
    }

    /// Returns the groups with `name` as a member of `group`, which is made if there is none.
    fn with_member(&self, group: &str, name: &str) -> String {
        let groups = &self.group;
        let is_member = |line: &str| {
            let members = line.rsplit(':').next().unwrap_or_default();
            members.split(',').any(|member| member == name)
        };
        let line = match line_of(groups, group) {
            Some(line) if is_member(line) => return groups.to_owned(),
            Some(line) if line.ends_with(':') => format!("{line}{name}"),
            Some(line) => format!("{line},{name}"),
            None => match self.own_or_free(Kind::Group, group, FIRST_UID) {
                Some(gid) => format!("{group}:x:{gid}:{name}"),
                None => return groups.to_owned(),
            },
        };
        with_line(groups, group, &line, |_| false)
    }

    /// Returns the text with subordinate ids for `name`: those of an earlier boot, or such as are above those
    /// of all other users.
    fn with_subordinates(&self, kind: Kind, text: &str, name: &str) -> String {
        if line_of(text, name).is_some() {
            return text.to_owned();
        }
        let ranges: Vec<(u64, u64)> = text.lines().filter_map(range).collect();
        let own = self.numbers.of(kind, name).map(u64::from);
        let own = own.filter(|first| !ranges.iter().any(|range| overlap(*range, of_user(*first))));
        let earlier = self.numbers.ranges(kind).map(of_user);
        let all = ranges.iter().copied().chain(earlier);
        let below = all.filter(|(first, _)| *first < SUBORDINATE_END);
        let above = below.map(|(_, end)| end).max();
        let first = own.or(above).unwrap_or(FIRST_SUBORDINATE);
        if first + SUBORDINATE_COUNT > SUBORDINATE_END {
            return text.to_owned();
        }
        let line = format!("{name}:{first}:{SUBORDINATE_COUNT}");
        with_line(text, name, &line, |_| false)
    }
}

/// Returns the first subordinate id of a line and the one behind the last.
pub(crate) fn range(line: &str) -> Option<(u64, u64)> {
    let mut numbers = line.split(':').skip(1).map(str::parse::<u64>);
    let (first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((first, first.saturating_add(count)))
}

/// Returns the user of subuid(5), other than this one, whose range has the number: containers of that user could be the
/// owners of the other's files.
pub fn owner_of_range<'a>(subuid: &'a str, number: u32, other_than: &str) -> Option<&'a str> {
    let number = u64::from(number);
    let mut lines = subuid.lines();
    let has = |line: &&str| {
        name_of(line) != Some(other_than)
            && range(line).is_some_and(|range| overlap(range, (number, number + 1)))
    };
    lines.find(has).and_then(name_of)
}

/// Returns the range of a user that begins with this id.
fn of_user(first: u64) -> (u64, u64) {
    (first, first + SUBORDINATE_COUNT)
}

/// Returns true if two ranges have an id in common.
pub(crate) fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

#[cfg(test)]
mod tests;
