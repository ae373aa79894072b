// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn files() -> Files {
    let read = |name: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../initramfs/files/etc/");
        std::fs::read_to_string(format!("{dir}{name}")).unwrap()
    };
    Files {
        passwd: read("passwd"),
        group: read("group"),
        shadow: read("shadow"),
        subuid: read("subuid"),
        subgid: read("subgid"),
        ..Files::default()
    }
}

#[test]
fn system_users_of_programs_get_free_numbers() {
    let mut files = Files {
        passwd: "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/:/\n".into(),
        group: "podman:x:101:\n".into(),
        ..Files::default()
    };
    add_system_user(&mut files, "tcpdump", None).expect("there is room");
    let line = "tcpdump:x:101:102::/nonexistent:/usr/sbin/nologin";
    assert!(files.passwd.lines().any(|l| l == line), "{}", files.passwd);
    assert!(files.group.contains("tcpdump:x:102:\n") && files.subuid.is_empty());
    let before = files.clone();
    add_system_user(&mut files, "tcpdump", None).expect("it is there");
    assert_eq!(files, before);
    add_system_user(&mut files, "statd", Some(104)).expect("the number is free");
    assert!(
        files.passwd.contains("statd:x:104:104:"),
        "{}",
        files.passwd
    );
    add_system_user(&mut files, "statd", Some(104)).expect("it is there");
    let before = files.clone();
    for (name, uid, why) in [
        (
            "statd",
            105,
            "the user statd has the number 104 here, not 105",
        ),
        ("rpc", 100, "another user than rpc has the number 100"),
        (
            "podman",
            105,
            "a group podman is there, in which the user podman would be; its group is to be its own",
        ),
    ] {
        let refused = add_system_user(&mut files, name, Some(uid));
        assert_eq!(refused.map_err(|e| e.to_string()), Err(why.to_owned()));
    }
    assert_eq!(files, before);
    let line = |number: u32| format!("u{number}:x:{number}:9::/:/\n");
    files.passwd = (100..=999).map(line).collect();
    let refused = add_system_user(&mut files, "rpc", None);
    let why = "no number from 100 to 999 is left for rpc".to_owned();
    assert_eq!(refused.map_err(|e| e.to_string()), Err(why));
}

#[test]
fn adding_a_user_twice_changes_nothing_more() {
    let mut files = files();
    let ann = User {
        name: "ann".into(),
        uid: Some(501),
        home: Some("/home/ann.guest".into()),
        groups: vec!["podman".into(), "video".into(), "new".into()],
        ..User::default()
    };
    let account = set(&mut files, &ann).unwrap();
    assert_eq!(
        account,
        Account {
            uid: 501,
            gid: 501,
            home: "/home/ann.guest".into()
        }
    );
    assert!(
        files
            .passwd
            .ends_with("ann:x:501:501::/home/ann.guest:/bin/bash\n")
    );
    for line in [
        "ann:x:501:",
        "podman:x:982:core,ann",
        "video:x:44:ann",
        "new:x:1001:ann",
    ] {
        assert!(
            files.group.lines().any(|l| l == line),
            "{line}: {}",
            files.group
        );
    }
    assert!(files.shadow.contains("ann:*:"));
    assert!(
        files.subuid.contains("ann:1100000:65536\n"),
        "{}",
        files.subuid
    );
    let once = files.clone();
    assert_eq!(set(&mut files, &ann).unwrap(), account);
    assert_eq!(files, once);
}

#[test]
fn groups_and_users_that_must_not_be() {
    let mut files = files();
    add_group(&mut files, "staff2", Some(700)).unwrap();
    add_group(&mut files, "staff2", None).unwrap();
    add_group(&mut files, "free", None).unwrap();
    assert!(
        files.group.ends_with("staff2:x:700:\nfree:x:1001:\n"),
        "{}",
        files.group
    );
    assert!(add_group(&mut files, "staff2", Some(701)).is_err());
    assert!(add_group(&mut files, "other", Some(700)).is_err());
    remove(&mut files, "core");
    let lines = files.passwd.lines().chain(files.subuid.lines());
    assert!(lines.clone().count() > 0 && lines.clone().all(|l| !l.starts_with("core:")));
    assert!(files.group.contains("\npodman:x:982:\n") && files.group.contains("\ncore:x:1000:\n"));
    let once = files.clone();
    remove(&mut files, "core");
    assert_eq!(files, once);
}

#[test]
fn a_user_with_the_uid_of_core_precedes_core_in_passwd() {
    let mut files = files();
    let ann = User {
        name: "ann".into(),
        uid: Some(1000),
        ..User::default()
    };
    let account = set(&mut files, &ann).unwrap();
    assert_eq!((account.uid, account.gid), (1000, 1000));
    let first = files
        .passwd
        .lines()
        .find(|l| l.split(':').nth(2) == Some("1000"));
    assert_eq!(first, Some("ann:x:1000:1000::/home/ann:/bin/bash"));
    assert!(files.passwd.contains("\ncore:x:1000:1000:core:"));
    let once = files.clone();
    set(&mut files, &ann).unwrap();
    assert_eq!(files, once);
}

#[test]
fn core_can_be_changed_and_keeps_the_rest() {
    let mut files = files();
    let core = User {
        name: "core".into(),
        shell: Some("/bin/sh".into()),
        ..User::default()
    };
    let before = files.passwd.lines().count();
    let account = set(&mut files, &core).unwrap();
    assert_eq!(
        (account.uid, account.gid, account.home.as_str()),
        (1000, 1000, "/home/core")
    );
    assert!(
        files
            .passwd
            .contains("core:x:1000:1000:core:/home/core:/bin/sh\n")
    );
    assert_eq!(files.passwd.lines().count(), before);
    let next = set(
        &mut files,
        &User {
            name: "bob".into(),
            ..User::default()
        },
    )
    .unwrap();
    assert_eq!((next.uid, next.gid), (1001, 1001));
}

fn named(name: &str) -> User {
    User {
        name: name.to_owned(),
        groups: vec!["builders".to_owned()],
        ..User::default()
    }
}

/// Sets users in the order of a document, as in a boot of its own, and returns their numbers.
fn boot(numbers: &mut Numbers, names: &[&str]) -> Vec<(u32, u32, String)> {
    let mut files = files();
    files.numbers = numbers.clone();
    let row = |name: &&str| {
        let before = files.clone();
        let account = set(&mut files, &named(name)).unwrap();
        let after = files.clone();
        files.numbers.note_user(&before, &after, name, &account);
        let range = line_of(&files.subuid, name).unwrap().to_owned();
        assert_eq!(line_of(&files.subgid, name), Some(range.as_str()));
        (account.uid, account.gid, range)
    };
    let all = names.iter().map(row).collect();
    *numbers = Numbers::parse(&files.numbers.to_text());
    all
}

#[test]
fn a_number_stays_with_its_name_whatever_the_order() {
    let mut numbers = Numbers::default();
    let ann = boot(&mut numbers, &["ann"]);
    assert_eq!(ann, [(1001, 1001, "ann:1100000:65536".to_owned())]);
    let both = boot(&mut numbers, &["bob", "ann"]);
    assert_eq!(both[1], ann[0]);
    // 1002 is the group of the first boot.
    let bob = (1002, 1003, "bob:1165536:65536".to_owned());
    assert_eq!(both[0], bob);
    assert_eq!(boot(&mut numbers, &["bob"])[0], bob);
    let eve = boot(&mut numbers, &["eve", "bob"]);
    assert_eq!((eve[0].0, &eve[1]), (1003, &bob));
    assert_eq!(eve[0].2, "eve:1231072:65536");
    assert_eq!(boot(&mut numbers, &["ann"]), ann);
}

#[test]
fn a_disk_without_a_record_has_homes_and_stores() {
    let mut files = files();
    files.numbers.owners = vec![1001, 1003];
    files.numbers.owner_groups = vec![1001];
    let before = files.clone();
    files.numbers.adopt(&before, "ann", (1001, 1001));
    let bob = set(&mut files, &named("bob")).unwrap();
    let eve = set(&mut files, &named("eve")).unwrap();
    let ann = set(&mut files, &named("ann")).unwrap();
    assert_eq!((bob.uid, eve.uid), (1002, 1004));
    assert_eq!((ann.uid, ann.gid), (1001, 1001));
    // core's number, a number of root's, a number of another user, and a user with a number.
    let before = files.clone();
    for (name, uid) in [("x", 1000), ("y", 0), ("z", 1002), ("ann", 1005)] {
        files.numbers.adopt(&before, name, (uid, uid));
    }
    assert_eq!(files.numbers, before.numbers);
}

#[test]
fn a_number_is_noted_for_one_name_and_read_again() {
    let mut numbers = Numbers::parse("user ann 1001\nuser\n\nking x 7\nuser bob x\nuser a b 1\n");
    assert_eq!(numbers.to_text(), "user ann 1001\n");
    numbers.note(Kind::User, "bob", 1001);
    numbers.note(Kind::Group, "bob", 1001);
    numbers.note(Kind::User, "ann", 1500);
    assert_eq!(numbers.of(Kind::User, "ann"), Some(1500));
    assert_eq!(numbers.holder(Kind::User, 1001, "bob"), Some("ann"));
    assert_eq!(numbers.holder(Kind::User, 1001, "ann"), None);
    numbers.note(Kind::User, "ann", 1001);
    numbers.note(Kind::User, "ann", 1001);
    let text = "group bob 1001\nuser ann 1500\nuser ann 1001\n";
    assert_eq!(numbers.to_text(), text);
    let all: Vec<u32> = numbers.all(Kind::User, "ann").collect();
    assert_eq!(all, [1500, 1001]);
}

#[test]
fn a_recorded_number_that_another_has_now_is_not_shared() {
    let mut files = files();
    files.numbers = Numbers::parse("user ann 1000\nsubuid ann 100000\ngroup ann 1000\n");
    let ann = set(&mut files, &named("ann")).unwrap();
    assert!(ann.uid != 1000 && ann.gid != 1000, "{ann:?}");
    let range = line_of(&files.subuid, "ann");
    assert_eq!(range, Some("ann:1100000:65536"));
}

#[test]
fn a_number_in_the_range_of_another_is_that_ones() {
    let subuid = "core:100000:1000000\nann:1100000:65536\n\nx\ncontainers:2147483647:2147483648\n";
    for (number, name, owner) in [
        (99_999, "bob", None),
        (100_000, "bob", Some("core")),
        (1_099_999, "bob", Some("core")),
        (1_100_000, "bob", Some("ann")),
        (1_100_000, "ann", None),
        (1_165_536, "bob", None),
        (4_294_967_294, "bob", Some("containers")),
    ] {
        assert_eq!(
            owner_of_range(subuid, number, name),
            owner,
            "{number} {name}"
        );
    }
}
