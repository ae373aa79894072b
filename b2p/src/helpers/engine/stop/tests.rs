// SPDX-License-Identifier: Apache-2.0
//! Containers in /proc, the machine's and those of programs that look like conmon.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

#[test]
fn the_stop_signal_is_found_in_the_configuration() {
    let spec = r#"{"annotations": {"x":"y", "org.opencontainers.image.stopSignal": "3"}}"#;
    assert_eq!(stop_signal(spec), Some(3));
    assert_eq!(stop_signal("{}"), None);
    assert_eq!(stop_signal(&spec.replace("\"3\"", "\"99\"")), None);
    assert_eq!(stop_signal(&spec.replace(": \"3\"", "")), None);
}

/// A /proc of the test's own.
struct Proc(PathBuf);

impl Proc {
    fn new(name: &str) -> Proc {
        let dir = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        for program in ["conmon", "other"] {
            fs::write(dir.join(program), program).unwrap();
        }
        symlink("mnt:[1]", dir.join("mounts")).unwrap();
        Proc(dir)
    }

    fn machine(&self) -> Machine {
        Machine::of(&self.0.join("conmon"), &self.0.join("mounts")).unwrap()
    }

    /// Adds a process: name, parent, program, mount namespace, pids in its namespaces.
    fn add(&self, pid: i32, comm: &str, parent: i32, program: &str, mounts: &str, pids: &str) {
        let dir = self.0.join(pid.to_string());
        fs::create_dir_all(dir.join("ns")).unwrap();
        let stat = format!("{pid} ({comm}) S {parent} {pid} {pid} 0");
        fs::write(dir.join("stat"), stat).unwrap();
        let status = format!("Name:\t{comm}\nUid:\t0\t0\t0\t0\nNSpid:\t{pid}{pids}\n");
        fs::write(dir.join("status"), status).unwrap();
        symlink(self.0.join(program), dir.join("exe")).unwrap();
        symlink(mounts, dir.join("ns/mnt")).unwrap();
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_container_is_the_child_of_the_machines_conmon() {
    let proc = Proc::new("conmon");
    proc.add(7, "conmon", 1, "conmon", "mnt:[1]", "");
    proc.add(8, "a) (b", 7, "other", "mnt:[2]", "\t1");
    // The exit command of the conmon.
    proc.add(9, "podman", 7, "other", "mnt:[1]", "");
    // Processes of the container that have conmon's name, its program, and both of a container with
    // the machine's pids.
    proc.add(20, "conmon", 8, "other", "mnt:[2]", "\t2");
    proc.add(21, "x", 20, "other", "mnt:[3]", "\t3");
    proc.add(22, "conmon", 8, "conmon", "mnt:[1]", "\t4");
    proc.add(23, "x", 22, "other", "mnt:[3]", "\t5");
    proc.add(24, "conmon", 8, "conmon", "mnt:[2]", "");
    proc.add(25, "x", 24, "other", "mnt:[3]", "");
    // A container whose first process has conmon's name is still a container.
    proc.add(30, "conmon", 7, "other", "mnt:[4]", "\t1");
    let mut found: Vec<i32> = running(&proc.0, &proc.machine())
        .into_iter()
        .map(|f| f.pid)
        .collect();
    found.sort_unstable();
    assert_eq!(found, [8, 30]);
}

#[test]
fn ten_thousand_that_look_like_conmon_take_no_time() {
    let proc = Proc::new("many");
    proc.add(7, "conmon", 1, "conmon", "mnt:[1]", "");
    proc.add(8, "web", 7, "other", "mnt:[2]", "\t1");
    for pid in 100..2_100 {
        proc.add(pid, "conmon", pid - 1, "other", "mnt:[2]", "\t9");
    }
    let begun = Instant::now();
    let found = running(&proc.0, &proc.machine());
    assert_eq!(found.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_description_is_read_within_bounds() {
    let proc = Proc::new("describe");
    let arguments = |bundle: &str| format!("/usr/bin/conmon\0-b\0{bundle}\0-n\0web\0");
    let dir = proc.0.join("7");
    let spec = r#"{"annotations":{"org.opencontainers.image.stopSignal":"10"}}"#;
    let bundle = dir.join("root/run/good");
    fs::create_dir_all(&bundle).unwrap();
    fs::write(bundle.join("config.json"), spec).unwrap();
    // The bundle by an absolute link, seen from conmon's root.
    symlink("/run/good", dir.join("root/run/linked")).unwrap();
    let named = |name: &str| {
        let bundle = dir.join("root/run").join(name);
        fs::create_dir_all(&bundle).unwrap();
        bundle.join("config.json")
    };
    nix::unistd::mkfifo(&named("fifo"), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", named("zero")).unwrap();
    symlink("../good/config.json", named("link")).unwrap();
    fs::write(proc.0.join("secret"), spec).unwrap();
    symlink("../../../../secret", named("out")).unwrap();
    fs::create_dir(named("dir")).unwrap();
    let padding = " ".repeat(MAX_SPEC_BYTES as usize);
    fs::write(named("long"), padding + spec).unwrap();
    let cases = [
        ("/run/good", 10),
        ("/run/linked", 10),
        ("/run/../../../run/good", 10),
        ("/run/fifo", libc::SIGTERM),
        ("/run/zero", libc::SIGTERM),
        ("/run/link", libc::SIGTERM),
        ("/run/out", libc::SIGTERM),
        ("/run/dir", libc::SIGTERM),
        ("/run/long", libc::SIGTERM),
        ("/run/none", libc::SIGTERM),
    ];
    for (bundle, signal) in cases {
        fs::write(dir.join("cmdline"), arguments(bundle)).unwrap();
        let read = read_description(&proc.0, 7).unwrap();
        let name = "web".to_owned();
        assert_eq!(read, Container { name, signal }, "{bundle}");
    }
    assert_eq!(read_description(&proc.0, 8), None);
}

#[test]
fn waiting_ends_with_the_last_or_with_the_time() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    // Signal 0 is never sent.
    let without_signal = || Container {
        name: "x".into(),
        signal: 0,
    };
    let mut watched = Signalled::new();
    signal_once(&mut watched, pid, without_signal);
    signal_once(&mut watched, pid, || panic!("the process is known"));
    assert_eq!(wait(&watched, Duration::from_millis(20)), [pid]);
    signal(pid, 64);
    assert!(wait(&watched, Duration::from_secs(20)).is_empty());
    child.wait().unwrap();
    signal_once(&mut watched, pid, || panic!("it is gone"));
    assert_eq!(watched.len(), 1);
}

#[test]
fn roots_containers_are_asked_first_and_no_user_takes_all_descriptors() {
    let of = |uid: u32, pids: std::ops::Range<i32>| {
        pids.map(move |pid| Found {
            pid,
            conmon: 2,
            uid,
        })
    };
    let all = of(1_000, 10..2_000)
        .chain(of(0, 3_000..4_500))
        .chain(of(1_001, 5_000..5_007));
    let (asked, left_out) = in_order(all.collect());
    let count = |uid| asked.iter().filter(|found| found.uid == uid).count();
    assert_eq!([0, 1_000, 1_001].map(count), [1_500, MAX_OF_USER, 7]);
    assert!(asked.iter().take(1_500).all(|found| found.uid == 0));
    assert_eq!(left_out.len(), 1_990 - MAX_OF_USER);
}
