// SPDX-License-Identifier: Apache-2.0
//! Cgroups, on a directory that looks like one and on a real one.

use super::*;
use services::KillMode;

#[test]
fn a_cgroup_is_limited_signalled_and_killed() {
    let group = ServiceDef {
        kill: KillMode::Cgroup,
        cgroup_files: &[("memory.max", "64M"), ("nothing.max", "1")],
        ..shell("demo", "exec sleep 100")
    };
    let process = shell("alone", "exec sleep 100");
    let mut w = World::new(vec![group, process]);
    (0..2).for_each(|n| w.input(Input::Start(id(n))));
    w.until("up", |w| up(id(0))(w) && up(id(1))(w));
    assert_eq!(w.file("demo/memory.max"), "64M");
    let lines = logged();
    assert!(lines.iter().any(|l| l.contains("nothing.max")), "a warning");
    assert_eq!(w.file("demo/cgroup.procs"), "0", "it joined");
    // Stands for a process that has got the number of one that was in the cgroup.
    let mut other = std::process::Command::new("/bin/sleep")
        .arg("100")
        .spawn()
        .unwrap();
    fs::write(w.cgroups.join("demo/cgroup.procs"), other.id().to_string()).unwrap();
    w.input(Input::StopAll);
    for name in ["demo", "alone"] {
        let freeze = w.file(&format!("{name}/cgroup.freeze"));
        assert_eq!(freeze, "0", "{name}: a frozen process handles no signal");
    }
    w.until("stopped", |w| w.m.supervisor().at_rest());
    assert_eq!(w.file("demo/cgroup.kill"), "1");
    assert_eq!(w.file("alone/cgroup.kill"), "", "its sessions live on");
    // /proc shows that the other process is in another cgroup: no signal has reached it.
    let there = format!("/proc/{}", other.id());
    assert!(fs::metadata(&there).is_ok(), "it runs");
    other.kill().unwrap();
    w.until("the other has ended", |_| fs::metadata(&there).is_err());
    assert!(other.try_wait().is_err());
}

#[test]
fn a_service_of_a_user_without_a_usable_cgroup_does_not_start() {
    let user = |uid| services::User {
        uid,
        gid: 0,
        groups: &[],
        name: "ann",
        home: "/",
        shell: "/bin/sh",
    };
    let of = |uid, name| ServiceDef {
        user: Some(user(uid)),
        ..shell(name, "exec sleep 100")
    };
    let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let dir = std::env::temp_dir().join(format!("manager-user-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    // Each is split, and none of them leads to one that is not.
    for group in ["user/4242/hers", "system/roots"] {
        let mut inner = dir.join(group);
        for _ in 0..9 {
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("cgroup.subtree_control"), "pids\n").unwrap();
            inner.push("main");
        }
    }
    let definitions = vec![of(4242, "hers"), shell("roots", "exec sleep 100")];
    let mut w = World::within(one, dir.join("system"), definitions);
    (0..2).for_each(|n| w.input(Input::Start(id(n))));
    let pids: Vec<_> = w.report().iter().map(|s| s.pid.is_some()).collect();
    assert_eq!(pids, [false, true]);
    w.stop_all();
    drop(w);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn kill_mode_mixed_signals_the_main_process_and_kills_the_others() {
    let mixed = ServiceDef {
        kill: KillMode::Mixed,
        ..shell(
            "mixed",
            "trap 'echo told; exit' TERM; echo on; while :; do sleep 1; done",
        )
    };
    let mut w = World::new(vec![mixed]);
    w.input(Input::Start(id(0)));
    w.until("up", |_| was_logged("mixed: on"));
    // Stands for a process that the service left in its cgroup.
    let mut other = std::process::Command::new("/bin/sh")
        .args(["-c", "trap 'exit 7' TERM; while :; do sleep 1; done"])
        .spawn()
        .unwrap();
    fs::write(w.cgroups.join("mixed/cgroup.procs"), other.id().to_string()).unwrap();
    w.input(Input::StopAll);
    w.until("stopped", |w| w.m.supervisor().at_rest());
    assert!(was_logged("mixed: told"));
    assert_eq!(w.file("mixed/cgroup.kill"), "1");
    assert!(other.try_wait().unwrap().is_none(), "it had no signal");
    other.kill().unwrap();
    let there = format!("/proc/{}", other.id());
    w.until("the other has ended", |_| fs::metadata(&there).is_err());
}

/// Creates a cgroup for the services of a test.
fn create_cgroup() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_cgroup2 = |l: &&str| l.split(' ').nth(2) == Some("cgroup2");
    let mount = mounts
        .lines()
        .find(is_cgroup2)
        .expect("no cgroup2 is mounted");
    let dir = PathBuf::from(mount.split(' ').nth(1).unwrap());
    let dir = dir.join(format!("manager-{}", std::process::id()));
    fs::create_dir(&dir).expect("no cgroup can be made here");
    dir
}

#[test]
#[ignore = "needs root and a cgroup2 to write to"]
fn a_real_group_frozen_or_left_behind_does_not_outlive_its_service() {
    let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let cgroups = create_cgroup();
    let group = |def| ServiceDef {
        kill: KillMode::Cgroup,
        ..def
    };
    let tree = "trap 'exit 0' TERM; (trap '' TERM; setsid sleep 1000 & exec sleep 1000) & \
        sleep 1000 & echo on; wait";
    let leaves = "(trap '' TERM; exec sleep 1000) & exit 1";
    let definitions = vec![group(shell("tree", tree)), group(shell("leaves", leaves))];
    let mut w = World::within(one, cgroups.clone(), definitions);
    let procs = |w: &World, name: &str| w.file(&format!("{name}/cgroup.procs")).lines().count();
    w.input(Input::Start(id(0)));
    w.until("all there", |w| {
        was_logged("tree: on") && procs(w, "tree") == 4
    });
    fs::write(cgroups.join("tree/cgroup.freeze"), "1").unwrap();
    let start = now();
    w.input(Input::Stop(id(0)));
    w.until("stopped", is(id(0), State::Off));
    assert!(now() - start < 2_000, "thawed, it handles SIGTERM");
    w.until("nobody is left", |w| procs(w, "tree") == 0);

    w.input(Input::Start(id(1)));
    w.until("started thrice", |w| w.m.supervisor().restarts(id(1)) >= 2);
    assert!(procs(&w, "leaves") <= 2, "those of earlier lives are gone");
    w.stop_all();
    w.until("nobody is left", |w| procs(w, "leaves") == 0);
    drop(w);
    for dir in ["tree", "leaves", ""] {
        fs::remove_dir(cgroups.join(dir)).unwrap();
    }
}
