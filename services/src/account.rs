//! Users and groups, from the text of passwd(5) and group(5): PID 1 asks no name
//! service, which could be a library, a daemon, or a network that is not there.

/// More groups than this a user is not given.
const MOST_GROUPS: usize = 64;

/// A user as passwd(5) and group(5) have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The groups that name it as a member.
    pub groups: Vec<u32>,
    /// Its name.
    pub name: String,
    /// Its home directory.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// The fields of the first line whose first field is `name`.
fn fields<'a>(text: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let split = |l: &'a str| l.split(':');
    let of = |l: &&str| split_first(l) == name;
    text.lines().find(of).map(split)
}

fn split_first(line: &str) -> &str {
    line.split(':').next().unwrap_or("")
}

/// The number of the group `name`.
#[must_use]
pub fn gid(group: &str, name: &str) -> Option<u32> {
    fields(group, name)?.nth(2)?.parse().ok()
}

/// The user `name` with all its groups.
#[must_use]
pub fn user(passwd: &str, group: &str, name: &str) -> Option<Account> {
    let mut f = fields(passwd, name)?.skip(2);
    let uid = f.next()?.parse().ok()?;
    let gid = f.next()?.parse().ok()?;
    let home = f.nth(1).filter(|h| !h.is_empty()).unwrap_or("/");
    let shell = f.next().filter(|s| !s.is_empty()).unwrap_or("/bin/sh");
    let member = |l: &&str| {
        let members = l.split(':').nth(3).unwrap_or("");
        members.split(',').any(|m| m == name)
    };
    let number = |l: &str| l.split(':').nth(2)?.parse().ok();
    let groups = group.lines().filter(member).filter_map(number);
    Some(Account {
        uid,
        gid,
        groups: groups.take(MOST_GROUPS).collect(),
        name: name.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
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
        assert_eq!((&*core.home, &*core.shell), ("/home/core", "/bin/bash"));
        let bare = user(PASSWD, GROUP, "bare").expect("it is there");
        assert_eq!((&*bare.home, &*bare.shell), ("/", "/bin/sh"));
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
