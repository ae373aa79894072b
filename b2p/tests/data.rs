// SPDX-License-Identifier: Apache-2.0
//! Tests of `b2p data` on real block devices: loop devices, mounted in a mount namespace for each
//! boot. They need root and loop devices; tests/tests/data tests the same in a machine.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYK me";
const MIB: u64 = 1 << 20;

/// A disk image on a loop device, and the root directory of a machine with this disk.
struct Machine {
    dir: PathBuf,
    device: String,
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Returns true if this machine can run the tests.
fn can_run() -> bool {
    let root = sh("id -u") == "0";
    root && Path::new("/dev/loop-control").exists() && Path::new("/usr/sbin/mke2fs").exists()
}

impl Machine {
    fn new(name: &str, size: u64, front: &[u8]) -> Machine {
        let dir = std::env::temp_dir().join(format!("b2p-data-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("root/etc/ssh")).unwrap();
        let image = File::create(dir.join("image")).unwrap();
        image.set_len(size).unwrap();
        image.write_all_at(front, 0).unwrap();
        let mut machine = Machine {
            dir,
            device: String::new(),
        };
        machine.attach();
        machine
    }

    fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    fn attach(&mut self) {
        self.device = sh(&format!("losetup -f --show -P {}", self.image().display()));
    }

    fn detach(&self) {
        sh(&format!("sync; losetup -d {}", self.device));
        // The loop device disappears when its last partition is closed.
        for _ in 0..100 {
            if !sh(&format!("losetup -j {} -n", self.image().display())).contains(&self.device) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{} stays", self.device);
    }

    /// Boots: runs the helper with `options`, then the script `then`. Returns the line of the helper
    /// and the output of the script.
    fn boot(&self, options: &str, then: &str) -> (String, String) {
        let root = self.dir.join("root");
        let script = format!(
            "mkdir -p {root}/run/boot2podman {root}/var/lib/containers/user/1000 {root}/var/lib/boot2podman
             rm -f {root}/run/boot2podman/data*
             {b2p} data --data={device} {options} --root={root} 2>{dir}/log
             cd {root}
             {then}",
            root = root.display(),
            dir = self.dir.display(),
            device = self.device,
            b2p = env!("CARGO_BIN_EXE_b2p"),
        );
        let all = sh(&format!(
            "unshare -m --propagation private sh -ec '{}'",
            script.replace('\'', "'\\''")
        ));
        let (line, rest) = all.split_once('\n').unwrap_or((&all, ""));
        let line = line.rsplit_once(" seq=").map_or(line, |(line, _)| line);
        (line.to_owned(), rest.to_owned())
    }

    fn checksum(&self) -> String {
        sh(&format!("sync; sha256sum < {}", self.image().display()))
    }

    fn degraded(&self) -> String {
        fs::read_to_string(self.dir.join("root/run/boot2podman/data.degraded")).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns an archive of tar(1) that asks to be formatted and has keys.
fn format_request() -> Vec<u8> {
    let tar = sh(&format!(
        "d=$(mktemp -d); cd $d; : > 'boot2podman, please format-me'; mkdir .ssh
         ssh-keygen -q -t rsa -b 4096 -N '' -C rsa -f k; cat k.pub > .ssh/authorized_keys
         echo '{KEY}' >> .ssh/authorized_keys
         tar cf $d.tar 'boot2podman, please format-me' .ssh; rm -r $d; echo $d.tar"
    ));
    let bytes = fs::read(&tar).unwrap();
    fs::remove_file(tar).unwrap();
    bytes
}

#[test]
fn first_boot_second_boot_and_growth() {
    if !can_run() {
        return;
    }
    let mut m = Machine::new("life", 160 * MIB, &format_request());
    let part = |m: &Machine| format!("{}p1", m.device);
    fs::write(
        m.dir.join("root/etc/machine-id"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    let (line, rest) = m.boot(
        "",
        "echo precious > var/lib/containers/image; (echo -----BEGIN OPENSSH PRIVATE KEY-----; echo secret; echo -----END OPENSSH PRIVATE KEY-----) > var/lib/boot2podman/ssh/ssh_host_ed25519_key
         cat run/boot2podman/authorized_keys; cat run/boot2podman/data; stat -c %a%u var/lib/containers/user/1000",
    );
    assert_eq!(
        line,
        format!("data={} fs=ext4 size={}", part(&m), 157 * MIB)
    );
    assert!(
        rest.starts_with("ssh-rsa ") && rest.contains(&line) && rest.ends_with("7001000"),
        "{rest}"
    );
    assert_eq!(m.degraded(), "");
    fs::write(
        m.dir.join("root/etc/machine-id"),
        "ffffffffffffffffffffffffffffffff\n",
    )
    .unwrap();
    for _ in 0..9 {
        let (line, rest) = m.boot(
            "",
            "cat var/lib/containers/image etc/machine-id; grep -v KEY etc/ssh/ssh_host_ed25519_key",
        );
        assert!(line.starts_with("data=/dev/loop"), "{line}");
        assert_eq!(rest, "precious\n0123456789abcdef0123456789abcdef\nsecret");
    }
    m.detach();
    File::options()
        .write(true)
        .open(m.image())
        .unwrap()
        .set_len(400 * MIB)
        .unwrap();
    m.attach();
    let (line, rest) = m.boot(
        "",
        "cat var/lib/containers/image; df -m --output=size mnt/data | tail -1",
    );
    assert_eq!(
        line,
        format!("data={} fs=ext4 size={}", part(&m), 397 * MIB)
    );
    let (content, size) = rest.split_once('\n').unwrap();
    assert_eq!(content, "precious");
    // The kernel lets only CAP_SYS_RESOURCE grow a file system that is mounted.
    let grown = size.trim().parse::<u32>().unwrap() > 300;
    let caps = sh("sed -n s/CapEff://p /proc/self/status");
    let caps = u64::from_str_radix(caps.trim(), 16).unwrap();
    assert_eq!(grown, caps >> 24 & 1 == 1);
    // The table at the beginning is damaged: the one at the end is used, and repairs it.
    let image = File::options().write(true).open(m.image()).unwrap();
    m.detach();
    image.write_all_at(&[0; 512], 512).unwrap();
    m.attach();
    let (again, content) = m.boot("", "cat var/lib/containers/image");
    assert!(again == line && content == "precious", "{again}");
    let mut header = [0; 8];
    File::open(m.image())
        .unwrap()
        .read_exact_at(&mut header, 512)
        .unwrap();
    assert_eq!(&header, b"EFI PART");
    sh(&format!("e2fsck -fn {}", part(&m)));
}

/// The helper is killed at many moments, together with the programs that it has started.
#[test]
fn a_format_that_is_cut_is_finished() {
    if !can_run() {
        return;
    }
    let front = format_request();
    for n in 0..12u64 {
        let m = Machine::new(&format!("cut{n}"), 100 * MIB, &front);
        let ms = n * 17 + n * n;
        let cut = format!(
            // The shell is PID 1 of the namespace: its end kills all programs that b2p has started.
            "unshare -mpf --propagation private sh -c \"timeout -s KILL 0.{ms:03} {} data --data={} --root={}; true\" >/dev/null 2>&1",
            env!("CARGO_BIN_EXE_b2p"),
            m.device,
            m.dir.join("root").display(),
        );
        sh(&cut);
        let (line, rest) = m.boot("", "cat run/boot2podman/authorized_keys; ls mnt/data");
        assert!(
            line.starts_with("data=/dev/loop"),
            "after {ms} ms: {line} {}",
            m.degraded()
        );
        assert!(
            rest.starts_with("ssh-rsa ") && rest.contains("userdata.tar"),
            "{rest}"
        );
        sh(&format!("e2fsck -fn {}p1", m.device));
    }
}

#[test]
fn what_is_refused_stays_as_it_is_to_the_last_bit() {
    if !can_run() {
        return;
    }
    let words = format_request();
    let at = |at: u64, bytes: &[u8]| (at, bytes.to_vec());
    let size = 96 * MIB;
    let table = [0x80, 0, 0, 0, 7, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    let mut torn = words.clone();
    torn[1200] ^= 1;
    let cases: Vec<(&str, Vec<(u64, Vec<u8>)>)> = vec![
        ("unknown", vec![at(5 * MIB, b"somebody's")]),
        ("at-the-front", vec![at(100, b"x")]),
        (
            "windows",
            vec![
                at(446, &table),
                at(510, &[0x55, 0xaa]),
                at(MIB + 3, b"NTFS    "),
            ],
        ),
        ("ntfs", vec![at(3, b"NTFS    ")]),
        ("lvm", vec![at(512, b"LABELONE"), at(536, b"LVM2 001")]),
        ("luks", vec![at(0, b"LUKS\xba\xbe\0\x02")]),
        (
            "raid-at-the-end",
            vec![at(size - 8192, &[0xfc, 0x4e, 0x2b, 0xa9, 1])],
        ),
        (
            "btrfs-under-words",
            vec![at(0, &words), at(65600, b"_BHRfS_M")],
        ),
        (
            "gpt-backup-under-words",
            vec![at(0, &words), at(size - 512, b"EFI PART")],
        ),
        (
            "raid-under-words",
            vec![at(0, &words), at(size - 8192, &[0xfc, 0x4e, 0x2b, 0xa9, 1])],
        ),
        ("torn-archive", vec![at(0, &torn)]),
        ("zfs", vec![at(16384, &[1, 1]), at(16412, b"version")]),
    ];
    for (name, parts) in cases {
        let m = Machine::new(name, size, b"");
        let image = File::options().write(true).open(m.image()).unwrap();
        for (at, bytes) in parts {
            image.write_all_at(&bytes, at).unwrap();
        }
        let before = m.checksum();
        sh(&format!("blockdev --flushbufs {}", m.device));
        for words in ["", "--format=blank"] {
            let (line, _) = m.boot(words, "true");
            assert!(line.starts_with("data=ram why="), "{name}: {line}");
            assert!(!m.degraded().is_empty(), "{name}");
        }
        assert_eq!(m.checksum(), before, "{name}");
    }
    let m = Machine::new("never", size, &words);
    let before = m.checksum();
    assert!(
        m.boot("--format=never", "true")
            .0
            .contains("b2p.format=never")
    );
    assert_eq!(m.checksum(), before);
}

#[test]
fn a_blank_disk_is_formatted_where_the_flag_says_so() {
    if !can_run() {
        return;
    }
    let m = Machine::new("blank", 96 * MIB, b"");
    let before = m.checksum();
    assert!(m.boot("", "true").0.starts_with("data=ram"));
    assert_eq!(m.checksum(), before);
    assert!(
        m.boot("--format=blank", "true")
            .0
            .starts_with("data=/dev/loop")
    );
    assert!(m.boot("", "true").0.starts_with("data=/dev/loop"));
}

#[test]
fn damage_is_mended_or_left_alone() {
    if !can_run() {
        return;
    }
    let mut m = Machine::new("damage", 96 * MIB, &format_request());
    let image = m.image();
    // A power cut while the disk is mounted: the copy of the image is the disk at that moment.
    let cut = format!(
        "echo kept > var/lib/containers/x; sync; echo lost > var/lib/containers/y
         sync -f mnt/data; cp --sparse=always {0} {0}.cut",
        image.display()
    );
    m.boot("", &cut);
    m.detach();
    fs::rename(m.dir.join("image.cut"), &image).unwrap();
    m.attach();
    let (line, rest) = m.boot("", "cat var/lib/containers/x");
    assert!(
        line.starts_with("data=/dev/loop") && rest == "kept",
        "{line} {rest}"
    );
    let log = fs::read_to_string(m.dir.join("log")).unwrap();
    assert!(log.is_empty() || log.contains("e2fsck"), "{log}");
    // A directory that is none any more, in a file system marked as in error.
    let part = format!("{}p1", m.device);
    sh(&format!(
        "debugfs -w -R 'clri <2>' {part}; debugfs -w -R 'ssv state 2' {part}; sync"
    ));
    let (line, _) = m.boot("", "true");
    assert!(
        line.starts_with("data=ram why=") && line.contains("damaged"),
        "{line}"
    );
    assert!(m.degraded().contains("e2fsck"), "{}", m.degraded());
}

#[test]
fn what_is_in_ram_already_is_not_hidden() {
    if !can_run() {
        return;
    }
    let m = Machine::new("ram", 96 * MIB, &format_request());
    m.boot("", "true");
    fs::write(m.dir.join("root/var/lib/containers/user/1000/db"), "in RAM").unwrap();
    let (line, rest) = m.boot(
        "",
        "cat var/lib/containers/user/1000/db; grep -c mnt/data /proc/self/mountinfo || true",
    );
    assert!(
        line.starts_with("data=ram why=") && line.contains("hidden"),
        "{line}"
    );
    assert_eq!(rest, "in RAM0");
}
