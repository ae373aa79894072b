// SPDX-License-Identifier: Apache-2.0
//! Files of users and groups that the disk keeps with the whole of /etc: these files have the users
//! of the image, also removed ones and those that a newer image adds. Pure.

use sys::account_files::{self, Identity};

/// Files of /etc with a line for each user or group, by name.
pub const FILES: &[&str] = &["passwd", "group", "shadow", "subuid", "subgid"];

/// Returns the machine's user of the boot that wrote the kept text of passwd(5) or group(5): the one of
/// this boot by another number, or one of `names`.
pub fn former<'a>(text: &str, names: &'a [String], user: Identity<'a>) -> Option<Identity<'a>> {
    let names = names.iter().map(String::as_str);
    let mut names = std::iter::once(user.name).chain(names);
    names.find_map(|name| account_files::present(text, name))
}

/// Returns the text of group(5) in which the user is in each group in which the image has that user.
pub fn with_member(kept: &str, shipped: &str, user: &str) -> String {
    let is_in = |line: &str, group: &str| {
        let (name, members) = (line.split(':').next(), line.rsplit(':').next());
        name == Some(group) && members.is_some_and(|all| all.split(',').any(|m| m == user))
    };
    let add = |line: &str| {
        let group = line.split(':').next().unwrap_or_default();
        let is_missing = shipped.lines().any(|own| is_in(own, group)) && !is_in(line, group);
        let comma = if line.ends_with(':') { "" } else { "," };
        match is_missing {
            true => format!("{line}{comma}{user}\n"),
            false => format!("{line}\n"),
        }
    };
    kept.lines().map(add).collect()
}

/// Returns the kept text with the lines of the image whose names it lacks. A line with the number
/// of a kept one precedes the kept line: programs that look up a number find the first line.
pub fn merged(kept: &str, shipped: &str) -> String {
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let number = |line: &str| line.split(':').nth(2).and_then(|n| n.parse::<u32>().ok());
    let mut lines: Vec<&str> = kept.lines().filter(|line| !line.is_empty()).collect();
    for line in shipped.lines().filter(|line| !line.is_empty()) {
        if lines.iter().any(|own| name(own) == name(line)) {
            continue;
        }
        let same = number(line).and_then(|n| lines.iter().position(|own| number(own) == Some(n)));
        lines.insert(same.unwrap_or(lines.len()), line);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_the_image_are_added_and_those_of_the_disk_kept() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let ann = "ann:x:1000:1000::/home/ann:/bin/bash\n";
        let bob = "bob:x:1001:1001::/home/bob:/bin/bash\n";
        let core = "core:x:1000:1000:core:/home/core:/bin/bash\n";
        let own_core = "core:x:1000:1000:me:/home/core:/bin/sh\n";
        for (kept, shipped, want) in [
            (
                [root, core, bob].concat(),
                [root, core].concat(),
                [root, core, bob].concat(),
            ),
            (
                [root, own_core].concat(),
                [root, core].concat(),
                [root, own_core].concat(),
            ),
            (
                [root, ann, bob].concat(),
                [root, core].concat(),
                [root, core, ann, bob].concat(),
            ),
            (bob.to_owned(), root.to_owned(), [bob, root].concat()),
            (String::new(), root.to_owned(), root.to_owned()),
            (root.to_owned(), String::new(), root.to_owned()),
        ] {
            assert_eq!(merged(&kept, &shipped), want);
        }
    }

    #[test]
    fn the_machines_user_of_another_boot_is_found() {
        let names = ["core".to_owned(), "old".to_owned()];
        let passwd =
            "root:x:0:0::/:/bin/sh\nold:x:7:7::/home/old:/bin/sh\ncore:x:1000:1000::/:/bin/sh\n";
        let identity = |name, uid| Identity { name, uid };
        for (name, want) in [
            ("core", Some(identity("core", 1000))),
            ("ann", Some(identity("core", 1000))),
            ("root", Some(identity("root", 0))),
        ] {
            assert_eq!(former(passwd, &names, identity(name, 501)), want);
        }
        assert_eq!(
            former("root:x:0:0::/:/bin/sh\n", &names, identity("ann", 501)),
            None
        );
    }

    #[test]
    fn the_user_is_in_the_groups_of_the_image() {
        let shipped = "adm:x:4:ann\nsudo:x:27:core,ann\nwheel:x:10:\nann:x:501:\n";
        let kept = "adm:x:4:bob\nsudo:x:27:\nwheel:x:10:bob\nown:x:2000:annex\nann:x:501:\n";
        let want = "adm:x:4:bob,ann\nsudo:x:27:ann\nwheel:x:10:bob\nown:x:2000:annex\nann:x:501:\n";
        assert_eq!(with_member(kept, shipped, "ann"), want);
        assert_eq!(with_member(want, shipped, "ann"), want);
    }

    #[test]
    fn ranges_of_numbers_have_no_number_of_their_own() {
        let kept = "ann:100000:65536\n";
        let shipped = "core:100000:1000000\ncontainers:2147483647:2147483648\n";
        assert_eq!(merged(kept, "ann:1:1\n"), kept);
        assert!(merged(kept, shipped).starts_with(kept));
        assert_eq!(merged(kept, shipped).lines().count(), 3);
    }
}
