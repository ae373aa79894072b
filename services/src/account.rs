//! Users and groups, from the text of passwd(5) and group(5): PID 1 asks no name
//! service, which could be a library, a daemon, or a network that is not there.

use crate::tokenize::parse_number;

/// More groups than this a user is not given.
const MOST_GROUPS: usize = 64;

/// A user as passwd(5) and group(5) have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The groups that name it as a member.
    pub groups: Vec<u32>,
    /// Its name.
    pub name: &'a str,
    /// Its home directory.
    pub home: &'a str,
    /// Its shell.
    pub shell: &'a str,
}

/// The nth field of a line; empty where there is none.
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

/// The number of the group `name`.
#[must_use]
pub fn gid(group: &str, name: &str) -> Option<u32> {
    id(line(group, name)?, 2)
}

/// The user `name` with all its groups.
#[must_use]
pub fn user<'a>(passwd: &'a str, group: &str, name: &str) -> Option<Account<'a>> {
    let line = line(passwd, name)?;
    let or = |text: &'a str, otherwise| if text.is_empty() { otherwise } else { text };
    let mut groups = Vec::new();
    for group in group.lines() {
        let member = field(group, 3).split(',').any(|m| m == name);
        if let (true, Some(gid)) = (member && groups.len() < MOST_GROUPS, id(group, 2)) {
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
    fn what_is_not_whole_is_not_there() {
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
