// SPDX-License-Identifier: Apache-2.0
//! Hosts that lack something: the right to write, a program, the end of a file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Host, after_mounts, end, refuses, whole};

/// Makes an image that no machine can boot, in the directory `image`.
fn image(host: &Host) -> PathBuf {
    let dir = host.0.path().join("image");
    fs::create_dir_all(&dir).unwrap();
    for name in ["vmlinuz", "initrd.img"] {
        fs::write(dir.join(name), name).unwrap();
    }
    dir
}

/// Creates the machine `box`, and returns its directory.
fn created(host: &Host) -> PathBuf {
    image(host);
    let end = host.run(&["create", "--no-start", "--image", "image", "box"]);
    assert_eq!(end.status, Some(0), "{}", end.errors);
    host.machine("box")
}

/// Lists the files of all machines and of the cache.
fn files(host: &Host) -> Vec<PathBuf> {
    fn below(dir: &Path, list: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            list.push(entry.path());
            if entry.path().is_dir() && !entry.path().is_symlink() {
                below(&entry.path(), list);
            }
        }
    }
    let mut list = Vec::new();
    below(&host.machine("").join(".."), &mut list);
    list.sort_unstable();
    list
}

#[test]
fn a_store_that_cannot_be_written_is_named_in_one_line() {
    let host = Host::new();
    created(&host);
    let store = host.machine("").join("..").canonicalize().unwrap();
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let dir = host.0.path();
    let run = |args: &[&str]| after_mounts(script, &store, args, dir, dir);
    let before = files(&host);
    #[rustfmt::skip]
    let changes: [&[&str]; 12] = [
        &["create", "--no-start", "--image", "image", "new"], &["clone", "box", "new"], &["rename", "box", "new"],
        &["rm", "-f", "box"], &["rm", "-y", "--keep-disk", "box"], &["set", "box", "cpus=1"], &["protect", "box"],
        &["start", "box"], &["snapshot", "create", "box", "s"], &["resize", "box", "200G"],
        &["upgrade", "--image", "image", "box"], &["reset", "-f"],
    ];
    for args in changes {
        let end = run(args);
        let line = end.errors.trim_end();
        assert!(
            matches!(end.status, Some(1 | 3)),
            "{args:?}: {:?} {line}",
            end.status
        );
        assert!(
            line.to_lowercase().contains("read-only file system") && line.lines().count() == 1,
            "{args:?}: {line}"
        );
    }
    for args in [&["ls"][..], &["status", "box"], &["inspect", "box"]] {
        let end = run(args);
        assert_eq!(end.status, Some(0), "{args:?}: {}", end.errors);
    }
    assert_eq!(files(&host), before);
}

/// Runs a command in whose `PATH` this one of the programs that machines need is missing.
fn without(host: &Host, missing: &str, args: &[&str]) -> Command {
    let bin = host.0.path().join(format!("without-{missing}"));
    let _ = fs::create_dir(&bin);
    for program in [
        "qemu-system-x86_64",
        "qemu-img",
        "ssh",
        "ssh-keygen",
        "cp",
        "curl",
    ] {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|dir| dir.join(program));
        if let Some(found) = found
            .into_iter()
            .find(|path| path.exists() && program != missing)
        {
            let _ = symlink(found, bin.join(program));
        }
    }
    let mut command = host.command(args);
    command.env("PATH", bin);
    command
}

#[test]
fn programs_that_are_missing_are_named() {
    let host = Host::new();
    created(&host);
    let before = files(&host);
    for (program, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-img", "qemu-utils"),
        ("ssh", "openssh-client"),
        ("ssh-keygen", "openssh-client"),
    ] {
        let words = format!("{program} is not in PATH; Debian's package is {package}");
        refuses(
            &mut without(&host, program, &["create", "--image", "image", "new"]),
            3,
            &words,
        );
    }
    for (program, args) in [
        ("qemu-system-x86_64", &["start", "box"][..]),
        ("qemu-img", &["clone", "box", "new"]),
        ("qemu-img", &["snapshot", "list", "box"]),
        ("ssh-keygen", &["clone", "box", "new"]),
    ] {
        refuses(&mut without(&host, program, args), 1, program);
    }
    // None of them is needed for these.
    for args in [
        &["ls"][..],
        &["status", "box"],
        &["stop", "box"],
        &["rm", "-y", "box"],
    ] {
        let end = end(host.command(args).env("PATH", ""));
        assert_eq!(end.status, Some(0), "{args:?}: {}", end.errors);
    }
    let after = files(&host);
    // The verdict about KVM is kept beside its kernel.
    let left: Vec<_> = after
        .iter()
        .filter(|path| !before.contains(path) && !path.ends_with(".kvm"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn images_that_are_cut_are_refused() {
    let host = Host::new();
    let dir = image(&host);
    let mut kernel = vec![0; 0x1000];
    (kernel[0x1f1], kernel[0x1f5]) = (1, 1);
    kernel[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    fs::write(dir.join("vmlinuz"), &kernel).unwrap();
    let words = "vmlinuz is cut: it has 4096 bytes of 5120";
    host.refuses(&["create", "--image", "image", "new"], 3, words);
    for (name, content) in [
        ("cut.iso", &b"\x01CD001\x01"[..]),
        ("cut.qcow2", b"QFI\xfb\0\0\0\x03"),
        ("empty.qcow2", b""),
        ("text.raw", b"text"),
    ] {
        fs::write(host.0.path().join(name), content).unwrap();
        let end = host.run(&["create", "--image", name, "new"]);
        let line = end.errors.trim_end();
        assert_eq!(end.status, Some(3), "{name}: {line}");
        assert!(
            line.contains("--image") && line.lines().count() == 1,
            "{name}: {line}"
        );
    }
    assert!(!host.machine("new").exists());
    let cache = host.machine("").join("../cache");
    let left: Vec<_> = fs::read_dir(cache).unwrap().flatten().collect();
    assert!(
        left.iter().all(|entry| entry.file_name() == "lock"),
        "{left:?}"
    );
}

#[test]
fn a_disk_that_is_cut_is_named_by_a_start() {
    let host = Host::new();
    let disk = created(&host).join("disk.qcow2");
    let content = fs::read(&disk).unwrap();
    for len in [0, 3, 100] {
        fs::write(&disk, &content[..len]).unwrap();
        let end = host.run(&["start", "box"]);
        let line = end.errors.lines().next().unwrap_or_default();
        assert_eq!(end.status, Some(1), "{len}: {}", end.errors);
        assert!(line.contains("disk.qcow2"), "{len}: {}", end.errors);
        assert_eq!(host.run(&["status", "box"]).out, "Stopped\n", "{len}");
    }
}

#[test]
fn creations_of_one_name_make_one_machine() {
    let host = Host::new();
    image(&host);
    let all: Vec<_> = (0..4)
        .map(|_| {
            let mut create = host.command(&["create", "--no-start", "--image", "image", "box"]);
            create
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut made = 0;
    for create in all {
        let out = create.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        match out.status.code() {
            Some(0) => made += 1,
            _ => assert_eq!(said, "Podman machine \"box\" already exists\n"),
        }
    }
    assert_eq!(made, 1);
    let names = files(&host);
    assert!(
        names
            .iter()
            .all(|path| !path.to_string_lossy().ends_with(".tmp")),
        "{names:?}"
    );
    host.write("box2", &whole("box2").text());
    assert_eq!(host.run(&["status", "box"]).out, "Stopped\n");
}
