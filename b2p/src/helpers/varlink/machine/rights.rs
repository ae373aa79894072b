// SPDX-License-Identifier: Apache-2.0
//! Rights of a client, by the credentials of its socket (unix(7), `SO_PEERCRED`).

/// Groups whose members may read, because they may become root or use root's podman.
const GROUPS: &[&str] = &["podman", "sudo"];

/// Right that a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Reading, for root and for [`Administrators`].
    Read,
    /// Change of the machine, for root.
    Change,
}

/// Users that may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Administrators(Vec<u32>);

impl Administrators {
    /// Reads the members of [`GROUPS`] from /etc; the process ends after idle time, so the next one
    /// reads changes soon.
    pub fn read() -> Administrators {
        let read = |path: &str| sys::files::read_text(path).unwrap_or_default();
        Administrators::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// Returns the users whose first group or whose further groups are among [`GROUPS`] (passwd(5), group(5)).
    fn parse(passwd: &str, group: &str) -> Administrators {
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let groups: Vec<Vec<String>> = group
            .lines()
            .map(fields)
            .filter(|group| group.len() == 4 && GROUPS.contains(&group[0].as_str()))
            .collect();
        let is_member = |user: &Vec<String>| {
            groups
                .iter()
                .any(|group| group[2] == user[3] || group[3].split(',').any(|name| name == user[0]))
        };
        let users = passwd.lines().map(fields).filter(|user| user.len() == 7);
        let users = users
            .filter(is_member)
            .filter_map(|user| user[2].parse().ok());
        Administrators(users.collect())
    }
}

/// Returns true if a client has a right. `peer` is its user, if the connection is a socket; `own` is
/// the user of this process. A process that is not root has no right to lend: PID 1 decides then.
pub(super) fn may(
    right: Right,
    peer: Option<u32>,
    own: u32,
    administrators: &Administrators,
) -> bool {
    match peer {
        _ if own != 0 => true,
        // Standard input and output of a process that root itself started.
        None | Some(0) => true,
        Some(user) => right == Right::Read && administrators.0.contains(&user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_two_groups_read_and_root_changes() {
        let passwd = "root:x:0:0::/root:/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\n\
            ann:x:1001:982::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\ncorey:x:1003:1003::/:/bin/sh\nbad:x:982\n\
            x:x:none:982::/:/bin/sh\n";
        let group =
            "sudo:x:27:core,nobody\npodman:x:982:\nusers:x:100:bob\nshort:x:1\nadm:x:4:core,bob\n";
        let administrators = Administrators::parse(passwd, group);
        assert_eq!(administrators, Administrators(vec![1000, 1001]));
        for (peer, own, read, change) in [
            (Some(0), 0, true, true),
            (Some(1000), 0, true, false),
            (Some(1002), 0, false, false),
            (Some(1003), 0, false, false),
            (Some(524_288), 0, false, false),
            (None, 0, true, true),
            (Some(1002), 1002, true, true),
        ] {
            let found =
                [Right::Read, Right::Change].map(|right| may(right, peer, own, &administrators));
            assert_eq!(found, [read, change], "{peer:?} {own}");
        }
        assert_eq!(Administrators::parse("", ""), Administrators::default());
    }
}
