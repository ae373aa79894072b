// SPDX-License-Identifier: Apache-2.0
//! Tests on a directory tree that looks like cgroups.
#![expect(clippy::disallowed_methods, reason = "a test has children of its own")]

use super::*;

const DEMO: ServiceDef = ServiceDef {
    name: "demo",
    ..ServiceDef::DEFAULT
};

/// Creates a directory that looks like a cgroup with a child cgroup.
fn tree(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("group-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    for dir in ["demo", "demo/below"] {
        fs::create_dir_all(root.join(dir)).expect("a directory");
        for file in ["cgroup.procs", "cgroup.freeze", "cgroup.kill", "memory.max"] {
            fs::write(root.join(dir).join(file), "").expect("a file");
        }
    }
    root
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn limits_are_set_and_a_wrong_one_is_no_reason_not_to_start() {
    let root = tree("limits");
    let group = Cgroup::of(&root, &DEMO);
    let opened = group.open(&[("nothing.max", "1"), ("memory.max", "64M")]);
    assert!(opened.is_ok());
    assert_eq!(text(&root.join("demo/memory.max")), "64M");
    assert!(!root.join("demo/nothing.max").exists(), "none is made");
    fs::remove_dir_all(root).expect("it is there");
}

#[test]
fn an_inner_group_takes_no_process() {
    let root = tree("inner");
    fs::write(root.join("demo/cgroup.subtree_control"), "cpu\n").expect("a file");
    // A real cgroup makes the files with the directory.
    fs::create_dir(root.join("demo/main")).expect("a directory");
    fs::write(root.join("demo/main/cgroup.procs"), "").expect("a file");
    let opened = Cgroup::of(&root, &DEMO).open(&[]).expect("it opens");
    let inner = std::os::unix::fs::MetadataExt::ino;
    let main = fs::metadata(root.join("demo/main")).expect("it is there");
    assert_eq!(inner(&opened.metadata().expect("open")), inner(&main));
    fs::remove_dir_all(root).expect("it is there");
}

/// A process of another cgroup stands for one that got the number of a member in between.
#[test]
fn a_process_that_is_no_longer_in_the_cgroup_is_not_signalled() {
    let root = tree("signal");
    let mut child = std::process::Command::new("/bin/sleep");
    let mut child = child.arg("100").spawn().expect("sleep(1)");
    let pids = format!("{}\n", child.id());
    fs::write(root.join("demo/below/cgroup.procs"), pids).expect("a file");
    let group = Cgroup::of(&root, &DEMO);
    group.signal(0, &[Signal::SIGTERM]);
    assert_eq!(text(&root.join("demo/below/cgroup.freeze")), "0");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(child.try_wait().expect("a child"), None, "it runs");
    group.kill();
    assert_eq!(text(&root.join("demo/cgroup.kill")), "1");
    child.kill().expect("a child");
    child.wait().expect("a child");
    fs::remove_dir_all(root).expect("it is there");
}

/// Checked on the text only: a mistake would signal every process of the machine.
#[test]
fn pids_below_2_are_never_signalled() {
    let text = "0\n1\n-1\n-7\nx\n\n7\n99999999999\n8\n";
    assert_eq!(others(text, 8).collect::<Vec<_>>(), [7]);
    assert_eq!(others(text, 0).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn a_group_that_is_not_there_is_survived() {
    let group = Cgroup::of(Path::new("/dev/null"), &DEMO);
    group.thaw();
    group.signal(0, &[Signal::SIGTERM]);
    group.kill();
    group.remove();
    assert!(group.open(&[]).is_err());
}

#[test]
fn the_number_of_examined_cgroups_is_limited() {
    let root = tree("many");
    for n in 0..300 {
        fs::create_dir(root.join(format!("demo/{n}"))).expect("a directory");
    }
    assert_eq!(Cgroup::of(&root, &DEMO).subtree().len(), MAX_CGROUPS);
    fs::remove_dir_all(root).expect("it is there");
}

#[test]
fn membership_by_the_last_two_names() {
    let dir = Path::new("/sys/fs/cgroup/system/net");
    for text in [
        "0::/system/net\n",
        "1:x:/\n0::/a/system/net/main (deleted)\n",
    ] {
        assert!(is_below(text, dir), "{text}");
    }
    for text in [
        "",
        "0::/\n",
        "0::/system/network\n",
        "0::/net\n",
        "1:x:/system/net\n",
    ] {
        assert!(!is_below(text, dir), "{text}");
    }
}

#[test]
fn a_service_of_a_user_is_among_the_users_cgroups() {
    let of = |uid| {
        let user = User {
            uid,
            gid: 7,
            groups: &[],
            name: "ann",
            home: "/home/ann",
            shell: "/bin/sh",
        };
        let def = ServiceDef {
            user: Some(user),
            ..DEMO
        };
        Cgroup::of(Path::new("/sys/fs/cgroup/system"), &def).dir
    };
    assert_eq!(of(1000), Path::new("/sys/fs/cgroup/user/1000/demo"));
    assert_eq!(of(0), Path::new("/sys/fs/cgroup/system/demo"));
}

#[test]
fn the_cgroup_of_a_user_is_made_with_its_service() {
    let root = tree("user");
    let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&root).expect("it is there"));
    let dir = root.join(format!("user/{}/demo", own.max(1)));
    let user = User {
        uid: own.max(1),
        gid: own.max(1),
        groups: &[],
        name: "ann",
        home: "/",
        shell: "/bin/sh",
    };
    let def = ServiceDef {
        user: Some(user),
        ..DEMO
    };
    let opened = Cgroup::of(&root.join("system"), &def).open(&[]);
    assert!(opened.is_ok() && dir.is_dir());
    let mut inner = dir;
    for _ in 0..9 {
        fs::create_dir_all(&inner).expect("a directory");
        fs::write(inner.join("cgroup.subtree_control"), "pids\n").expect("a file");
        inner.push("main");
    }
    let opened = Cgroup::of(&root.join("system"), &def).open(&[]);
    assert!(opened.is_err(), "the user has left no place in it");
    fs::remove_dir_all(root).expect("it is there");
}
