// SPDX-License-Identifier: Apache-2.0
//! Users and groups from the texts of passwd(5) and group(5). PID 1 uses no name service: that
//! could be a library, a daemon, or a network that is down.

use crate::service::User;
use crate::tokenize::parse_number;

/// Maximum number of supplementary groups of a user; further ones are ignored.
const MAX_GROUPS: usize = 64;

/// A user of passwd(5) with the groups of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Groups that list the user as a member.
    pub groups: Vec<u32>,
    /// Name of the user.
    pub name: &'a str,
    /// Home directory; `/` if the field is empty.
    pub home: &'a str,
    /// Login shell; `/bin/sh` if the field is empty.
    pub shell: &'a str,
}

impl Account<'_> {
    /// Returns true if the user is `user`.
    #[must_use]
    pub fn is(&self, user: &User) -> bool {
        (self.uid, self.gid) == (user.uid, user.gid)
            && self.groups == user.groups
            && (self.name, self.home, self.shell) == (user.name, user.home, user.shell)
    }

    /// Returns the user for a definition, with texts that are never freed: services live as long
    /// as the machine.
    #[must_use]
    pub fn leak(self) -> User {
        let leak = |text: &str| -> &'static str { text.to_owned().leak() };
        User {
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.leak(),
            name: leak(self.name),
            home: leak(self.home),
            shell: leak(self.shell),
        }
    }
}

/// Returns the nth field of a line, empty if there is none.
fn field(line: &str, n: usize) -> &str {
    line.split(':').nth(n).unwrap_or("")
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|l| field(l, 0) == name)
}

fn id(line: &str, n: usize) -> Option<u32> {
    let id = parse_number(field(line, n), 10, u32::MAX.into())?;
    u32::try_from(id).ok()
}

/// Returns the id of the group `name`.
#[must_use]
pub fn gid(group: &str, name: &str) -> Option<u32> {
    id(line(group, name)?, 2)
}

/// Returns the user `name` with all its groups.
#[must_use]
pub fn user<'a>(passwd: &'a str, group: &str, name: &str) -> Option<Account<'a>> {
    let line = line(passwd, name)?;
    let or = |text: &'a str, otherwise| if text.is_empty() { otherwise } else { text };
    let mut groups = Vec::new();
    for group in group.lines() {
        let member = field(group, 3).split(',').any(|m| m == name);
        if let (true, Some(gid)) = (member && groups.len() < MAX_GROUPS, id(group, 2)) {
            groups.push(gid);
        }
    }
    Some(Account {
        uid: id(line, 2)?,
        gid: id(line, 3)?,
        groups,
        name: field(line, 0),
        home: or(field(line, 5), "/"),
        shell: or(field(line, 6), "/bin/sh"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        core:x:1000:1001:Core,,,:/home/core:/bin/bash\n\
        bare:x:5:6:::\nshort:x:7\nbad:x:-1:0::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:core\npodman2:x:5:xcore\n\
        podman:x:982:root,core\nbad:x:x:core\nshort\n";

    #[test]
    fn a_user_has_its_groups() {
        let core = user(PASSWD, GROUP, "core").expect("it is there");
        assert_eq!((core.uid, core.gid), (1000, 1001));
        assert_eq!(core.groups, [27, 982]);
        assert_eq!((core.home, core.shell), ("/home/core", "/bin/bash"));
        let bare = user(PASSWD, GROUP, "bare").expect("it is there");
        assert_eq!((bare.home, bare.shell), ("/", "/bin/sh"));
    }

    #[test]
    fn an_incomplete_line_of_passwd_is_no_user() {
        for name in ["cor", "short", "bad", "", "nobody"] {
            assert_eq!(user(PASSWD, GROUP, name), None, "{name}");
        }
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        assert_eq!(gid(GROUP, "podman"), Some(982));
        assert_eq!(gid(GROUP, "pod"), None);
        assert_eq!(gid(GROUP, "short"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(passwd: String, group: String, name: String) {
            let _ = user(&passwd, &group, &name);
        }
    }
}
