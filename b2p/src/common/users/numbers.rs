// SPDX-License-Identifier: Apache-2.0
//! Numbers that names have had in earlier boots. Files and containers of a data disk belong to numbers, and the
//! files of /etc, which give a number to each name, are made anew at each boot: the order of a document must not
//! decide the owner of these files. Pure.

use super::{Account, Files, gid_of, has_number, line_of, name_of};

/// Kind of a number in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Number of a user.
    User,
    /// Number of a group.
    Group,
    /// First subordinate number of a user (subuid(5)).
    Subuid,
    /// First subordinate number of a group (subgid(5)).
    Subgid,
}

/// Kinds with their names.
const KINDS: [(Kind, &str); 4] = [
    (Kind::User, "user"),
    (Kind::Group, "group"),
    (Kind::Subuid, "subuid"),
    (Kind::Subgid, "subgid"),
];

/// A name and a number that is its own for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    kind: Kind,
    name: String,
    number: u32,
}

/// Numbers with an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Rows by age: the last one of a name has its present number.
    rows: Vec<Row>,
    /// Numbers of the owners of homes and stores, with or without a known name.
    pub owners: Vec<u32>,
    /// Groups of homes.
    pub owner_groups: Vec<u32>,
}

impl Numbers {
    /// Reads a record: lines `user ann 1001`. Others are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Numbers {
        let row = |line: &str| {
            let mut words = line.split(' ');
            let kind = words.next()?;
            let (kind, _) = KINDS.into_iter().find(|(_, name)| *name == kind)?;
            let (name, number) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            let is_whole = !name.is_empty() && words.next().is_none();
            is_whole.then_some(Row { kind, name, number })
        };
        Numbers {
            rows: text.lines().filter_map(row).collect(),
            ..Numbers::default()
        }
    }

    /// Returns the text of the record.
    #[must_use]
    pub fn to_text(&self) -> String {
        let word = |kind: Kind| KINDS.iter().find(|(known, _)| *known == kind);
        let line = |row: &Row| {
            let kind = word(row.kind).map_or("", |(_, word)| word);
            format!("{kind} {} {}\n", row.name, row.number)
        };
        self.rows.iter().map(line).collect()
    }

    /// Returns the present number of a name.
    #[must_use]
    pub fn of(&self, kind: Kind, name: &str) -> Option<u32> {
        self.all(kind, name).last()
    }

    /// Returns the numbers that a name has had, the present one last.
    pub fn all<'a>(&'a self, kind: Kind, name: &'a str) -> impl Iterator<Item = u32> + 'a {
        let rows = self.rows.iter();
        let own = rows.filter(move |row| row.kind == kind && row.name == name);
        own.map(|row| row.number)
    }

    /// Returns the name, other than this one, that has the number.
    #[must_use]
    pub fn holder(&self, kind: Kind, number: u32, other_than: &str) -> Option<&str> {
        let mut rows = self.rows.iter();
        let row = rows.find(|row| row.kind == kind && row.number == number)?;
        (row.name != other_than).then_some(&row.name)
    }

    /// Returns true for a number that no new name may have.
    #[must_use]
    pub fn is_taken(&self, kind: Kind, number: u32) -> bool {
        let owners: &[u32] = match kind {
            Kind::User => &self.owners,
            Kind::Group => &self.owner_groups,
            Kind::Subuid | Kind::Subgid => &[],
        };
        owners.contains(&number) || self.holder(kind, number, "").is_some()
    }

    /// Returns the first numbers of subordinate ranges.
    pub fn ranges(&self, kind: Kind) -> impl Iterator<Item = u64> + '_ {
        let rows = self.rows.iter().filter(move |row| row.kind == kind);
        rows.map(|row| u64::from(row.number))
    }

    /// Notes a number of a name, unless the number is another's.
    pub fn note(&mut self, kind: Kind, name: &str, number: u32) {
        if self.of(kind, name) == Some(number) || self.holder(kind, number, name).is_some() {
            return;
        }
        let is_same = |row: &Row| (row.kind, row.name.as_str(), row.number) == (kind, name, number);
        self.rows.retain(|row| !is_same(row));
        let name = name.to_owned();
        self.rows.push(Row { kind, name, number });
    }

    /// Takes the numbers of a home of a disk that has no record of its owner: no other name has
    /// these numbers.
    pub fn adopt(&mut self, files: &Files, name: &str, (uid, gid): (u32, u32)) {
        let is_known =
            self.of(Kind::User, name).is_some() || line_of(&files.passwd, name).is_some();
        let is_free = |kind, text, number| {
            number >= super::FIRST_UID
                && !has_number(text, number)
                && self.holder(kind, number, name).is_none()
        };
        if is_known || !is_free(Kind::User, &files.passwd, uid) {
            return;
        }
        let has_group =
            !is_free(Kind::Group, &files.group, gid) || gid_of(&files.group, name).is_some();
        self.note(Kind::User, name, uid);
        if !has_group {
            self.note(Kind::Group, name, gid);
        }
    }

    /// Notes the numbers of a changed user; `before` are the files from before the change.
    pub fn note_user(&mut self, before: &Files, after: &Files, name: &str, account: &Account) {
        self.note(Kind::User, name, account.uid);
        if gid_of(&after.group, name) == Some(account.gid) {
            self.note(Kind::Group, name, account.gid);
        }
        let first =
            |text: &str| -> Option<u32> { line_of(text, name)?.split(':').nth(1)?.parse().ok() };
        for (kind, text) in [(Kind::Subuid, &after.subuid), (Kind::Subgid, &after.subgid)] {
            if let Some(first) = first(text) {
                self.note(kind, name, first);
            }
        }
        self.note_groups(before, after);
    }

    /// Notes the groups that `before` does not have.
    pub fn note_groups(&mut self, before: &Files, after: &Files) {
        for name in after.group.lines().filter_map(name_of) {
            if let Some(gid) = gid_of(&after.group, name)
                && line_of(&before.group, name).is_none()
                && gid >= super::FIRST_UID
            {
                self.note(Kind::Group, name, gid);
            }
        }
    }
}
