// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::common::testing::Temp;

/// A root with an image's files, and a disk. Nothing is mounted.
struct World {
    temp: Temp,
    paths: Paths,
    disk: PathBuf,
}

impl World {
    fn new() -> World {
        let temp = Temp::new();
        let paths = Paths::below(temp.path("root"));
        let disk = paths.data_disk().join(DIR);
        fs::create_dir_all(&disk).unwrap();
        let world = World { temp, paths, disk };
        world.ship("etc/containers/policy.json", "one");
        world
    }

    fn ship(&self, path: &str, text: &str) {
        write(&self.paths.root().join(path), text);
    }

    fn keep(&self, path: &str, text: &str) {
        write(&self.disk.join(path), text);
    }

    fn boot(&self, etc: Etc) {
        give_way(&self.paths, &self.disk, trees(etc)).unwrap();
    }

    fn kept(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.disk.join(path)).ok()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

const POLICY: &str = "etc/containers/policy.json";

#[test]
fn a_newer_image_wins_where_nothing_was_changed() {
    let world = World::new();
    world.boot(Etc::Containers);
    world.keep(POLICY, "one");
    world.keep("etc/containers/registries.conf", "mine");
    world.ship(POLICY, "two");
    world.ship("etc/containers/registries.conf", "new");
    world.boot(Etc::Containers);
    assert_eq!(world.kept(POLICY).as_deref(), Some("two"));
    let own = world.kept("etc/containers/registries.conf");
    assert_eq!(own.as_deref(), Some("mine"));
    world.ship(POLICY, "three");
    world.boot(Etc::Containers);
    assert_eq!(world.kept(POLICY).as_deref(), Some("three"));
    world.keep(POLICY, "mine");
    world.ship(POLICY, "four");
    world.boot(Etc::Containers);
    world.boot(Etc::Ram);
    assert_eq!(world.kept(POLICY).as_deref(), Some("mine"));
}

#[test]
fn the_record_of_what_is_not_kept_today_stays() {
    let world = World::new();
    world.ship("etc/issue", "one");
    world.boot(Etc::All);
    world.keep("etc/issue", "one");
    world.boot(Etc::Containers);
    world.ship("etc/issue", "two");
    world.boot(Etc::All);
    assert_eq!(world.kept("etc/issue").as_deref(), Some("two"));
}

#[test]
fn the_machine_writes_its_own_files_anew() {
    let world = World::new();
    let registry = |name: &str| format!("etc/containers/registries.conf.d/{name}");
    world.ship("etc/hostname", "box");
    for (path, text) in [
        ("etc/hostname", "old"),
        ("etc/containers/podman-machine", "qemu"),
        (&registry("gone.conf"), "of the disk"),
        (&registry("mine.conf"), "by hand"),
        (
            &registry(registry_files::COPIES),
            "gone.conf\n../../hostname\n",
        ),
    ] {
        world.keep(path, text);
    }
    world.boot(Etc::All);
    assert_eq!(world.kept("etc/hostname").as_deref(), Some("box"));
    assert_eq!(world.kept("etc/containers/podman-machine"), None);
    assert_eq!(world.kept(&registry("gone.conf")), None);
    assert!(world.kept(&registry("mine.conf")).is_some());
}

#[test]
fn a_link_in_place_of_a_directory_leads_nowhere() {
    let world = World::new();
    let outside = world.temp.path("outside");
    write(&outside.join("policy.json"), "one");
    world.boot(Etc::Containers);
    fs::create_dir_all(world.disk.join("etc")).unwrap();
    symlink(&outside, world.disk.join("etc/containers")).unwrap();
    world.ship(POLICY, "two");
    world.boot(Etc::Containers);
    assert_eq!(
        fs::read_to_string(outside.join("policy.json")).unwrap(),
        "one"
    );
}

#[test]
fn unusable_entries_of_etc_are_put_aside_and_named() {
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let long = |path: &Path, bytes| fs::File::create(path).unwrap().set_len(bytes).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: &[(&str, Make<'_>, &str)] = &[
        ("etc/passwd", &|path| fifo(path), "a fifo"),
        (
            "etc/group",
            &|path| fs::create_dir(path).unwrap(),
            "a directory",
        ),
        (
            "etc/shadow",
            &|path| long(path, 5 << 20),
            "longer than 4096 KiB",
        ),
        (
            "etc/subuid",
            &|path| symlink("/dev/zero", path).unwrap(),
            "a symbolic link that leads",
        ),
        (
            "etc/subgid",
            &|path| fs::write(path, b"\xff\xfe").unwrap(),
            "utf-8",
        ),
        (
            "etc/ssh/sshd_config",
            &|path| long(path, 10 << 30),
            "longer than 64 MiB",
        ),
        (
            "etc/profile",
            &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            "a socket",
        ),
        (POLICY, &|path| fs::create_dir(path).unwrap(), "a directory"),
        ("etc/hosts", &|path| long(path, 5 << 20), ""),
        ("etc/issue", &|path| symlink("hosts", path).unwrap(), ""),
        ("etc/mine", &|path| fifo(path), ""),
    ];
    for (path, make, want) in cases {
        let world = World::new();
        if *path != "etc/mine" {
            world.ship(path, "one");
        }
        let kept = world.disk.join(path);
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        make(&kept);
        let told = give_way(&world.paths, &world.disk, trees(Etc::All));
        let told = told.err().map_or(String::new(), |why| why.to_string());
        let aside = world.disk.join(format!("{path}.unusable"));
        if want.is_empty() {
            assert_eq!(told, "", "{path}");
            assert!(fs::symlink_metadata(kept).is_ok(), "{path}");
            continue;
        }
        let words = [
            *want,
            &format!("/{path} is the image's; yours is /{path}.unusable now"),
        ];
        assert!(words.iter().all(|w| told.contains(w)), "{path}: {told}");
        assert!(fs::symlink_metadata(kept).is_err(), "{path}");
        assert!(fs::symlink_metadata(aside).is_ok(), "{path}");
        world.boot(Etc::All);
    }
}

#[test]
fn files_that_were_put_aside_before_are_not_overwritten() {
    let world = World::new();
    for name in ["policy.json.unusable", "policy.json.unusable.1"] {
        world.keep(&format!("etc/containers/{name}"), name);
    }
    fs::create_dir(world.disk.join(POLICY)).unwrap();
    assert!(give_way(&world.paths, &world.disk, trees(Etc::All)).is_err());
    assert!(world.disk.join(format!("{POLICY}.unusable.2")).is_dir());
    let first = world.kept("etc/containers/policy.json.unusable");
    assert_eq!(first.as_deref(), Some("policy.json.unusable"));
}

#[test]
fn a_record_of_garbage_is_replaced() {
    let world = World::new();
    world.boot(Etc::Containers);
    fs::write(world.disk.join(RECORD), b"\xff\xfegarbage\n").unwrap();
    world.boot(Etc::Containers);
}

#[test]
fn kept_users_are_joined_by_those_of_the_image() {
    let world = World::new();
    world.ship(
        "etc/passwd",
        "root:x:0:0\ncore:x:1000:1000\n_new:x:101:101\n",
    );
    world.keep("etc/passwd", "root:x:0:0\nbob:x:1001:1001\n");
    fs::set_permissions(
        world.disk.join("etc/passwd"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    merge_accounts(&world.paths, &world.disk, &Config::default(), &[]).unwrap();
    let text = world.kept("etc/passwd").unwrap();
    assert_eq!(
        text,
        "root:x:0:0\nbob:x:1001:1001\ncore:x:1000:1000\n_new:x:101:101\n"
    );
    let mode = fs::metadata(world.disk.join("etc/passwd"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(world.kept("etc/group"), None, "nothing is made");
}

/// A user has added bob to the kept files in a boot of core's.
#[test]
fn kept_files_have_the_user_of_this_boot() {
    let passwd =
        |user: &str| format!("root:x:0:0:::\n{user}\nbob:x:1001:1001::/home/bob:/bin/sh\n");
    let group = |own: &str, member: &str| {
        format!("root:x:0:\nsudo:x:27:{member}\npodman:x:90:bob,{member}\n{own}\nbob:x:1001:\n")
    };
    let subuid = |user: &str| format!("{user}:100000:1000000\nbob:2000000:65536\n");
    for (name, uid, names, line, own) in [
        (
            "core",
            1000,
            "core",
            "core:x:1000:1000:me:/home/core:/bin/zsh",
            "core:x:1000:",
        ),
        (
            "core",
            501,
            "core",
            "core:x:501:501:me:/home/core:/bin/zsh",
            "core:x:501:",
        ),
        (
            "ann",
            1000,
            "core",
            "ann:x:1000:1000:me:/home/ann:/bin/zsh",
            "ann:x:1000:",
        ),
        (
            "ann",
            501,
            "core",
            "ann:x:501:501:me:/home/ann:/bin/zsh",
            "ann:x:501:",
        ),
    ] {
        let world = World::new();
        world.ship(
            "etc/passwd",
            &format!("root:x:0:0:::\n{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n"),
        );
        world.ship(
            "etc/group",
            &format!("root:x:0:\nsudo:x:27:{name}\npodman:x:90:{name}\n{name}:x:{uid}:\n"),
        );
        world.ship("etc/subuid", &format!("{name}:100000:1000000\n"));
        world.keep(
            "etc/passwd",
            &passwd("core:x:1000:1000:me:/home/core:/bin/zsh"),
        );
        world.keep("etc/group", &group("core:x:1000:", "core"));
        world.keep("etc/subuid", &subuid("core"));
        let config = Config {
            user: name.to_owned(),
            uid,
            ..Config::default()
        };
        // A power cut between two files: the next boot has the same result.
        for _ in 0..2 {
            merge_accounts(&world.paths, &world.disk, &config, &[names.to_owned()]).unwrap();
            let kept = |file: &str| world.kept(&format!("etc/{file}")).unwrap();
            assert_eq!(kept("passwd"), passwd(line), "{name}:{uid}");
            assert_eq!(kept("group"), group(own, name), "{name}:{uid}");
            assert_eq!(kept("subuid"), subuid(name), "{name}:{uid}");
        }
    }
}

/// A power cut after the first of the files, and a file that the user never wrote to.
#[test]
fn kept_files_that_disagree_are_brought_together() {
    let ann = Config {
        user: "ann".to_owned(),
        ..Config::default()
    };
    let world = World::new();
    world.ship("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/bash\n");
    world.ship("etc/group", "sudo:x:27:ann\nann:x:1000:\n");
    world.keep("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/bash\n");
    world.keep("etc/group", "sudo:x:27:core\ncore:x:1000:\n");
    merge_accounts(&world.paths, &world.disk, &ann, &["core".to_owned()]).unwrap();
    let group = world.kept("etc/group").unwrap();
    assert!(
        group.contains("sudo:x:27:") && group.contains("ann:x:1000:\n"),
        "{group}"
    );
    let sudo = group
        .lines()
        .find(|line| line.starts_with("sudo:"))
        .unwrap();
    assert!(sudo.ends_with("ann"), "{group}");
    assert_eq!(world.kept("etc/shadow"), None);
}
