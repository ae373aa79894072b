// SPDX-License-Identifier: Apache-2.0
//! `b2p data` on real block devices: loop devices, mounted in a mount namespace of each boot's
//! own. The tests need root, loop devices and mke2fs(8) and are skipped elsewhere; the tests of
//! the machine cover the same there.
#![allow(clippy::unwrap_used)]

mod machine;

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use machine::{MIB, Machine, can_run, format_request, sh};

/// Bit of CAP_SYS_RESOURCE in a set of capabilities (capabilities(7)).
const CAP_SYS_RESOURCE: u32 = 24;

/// Script that makes a file of containers and a host key, and shows the files of the boot.
const FIRST_USE: &str = "\
echo precious > var/lib/containers/image
key=var/lib/boot2podman/ssh/ssh_host_ed25519_key
rm -f $key $key.pub
ssh-keygen -q -t ed25519 -N '' -f $key
ssh-keygen -lf $key | cut -d' ' -f2 > var/lib/containers/fingerprint
cat run/boot2podman/authorized_keys run/boot2podman/data
stat -c %a%u var/lib/containers/user/1000";

#[test]
fn first_boot_second_boot_and_growth() {
    if !can_run() {
        return;
    }
    let mut m = Machine::new("life", 160 * MIB, &format_request());
    let id = "0123456789abcdef0123456789abcdef";
    m.set_machine_id(id);
    let (report, rest) = m.boot("", FIRST_USE);
    let part = m.partition();
    assert_eq!(report, format!("data={part} fs=ext4 size={}", 157 * MIB));
    assert!(
        rest.starts_with("ssh-rsa ") && rest.contains(&report) && rest.ends_with("7001000"),
        "{rest}"
    );
    assert_eq!(m.degraded(), "");
    m.set_machine_id(&"f".repeat(32));
    for _ in 0..9 {
        let script = "cat var/lib/containers/image etc/machine-id
                      ssh-keygen -lf etc/ssh/ssh_host_ed25519_key | cut -d' ' -f2 |
                      cmp - var/lib/containers/fingerprint && echo same key";
        let (report, rest) = m.boot("", script);
        assert!(report.starts_with("data=/dev/loop"), "{report}");
        assert_eq!(rest, format!("precious\n{id}\nsame key"));
    }
    m.detach();
    m.open_image().set_len(400 * MIB).unwrap();
    m.attach();
    grown(&m);
    damaged_table(&mut m);
}

/// Report of a boot with the grown disk. Each attachment may get another loop device: tests in
/// other processes take and free theirs.
fn grown_report(m: &Machine) -> String {
    format!("data={} fs=ext4 size={}", m.partition(), 397 * MIB)
}

/// Boots with a disk that has grown.
fn grown(m: &Machine) {
    let script = "cat var/lib/containers/image; df -m --output=size mnt/data | tail -1";
    let (report, rest) = m.boot("", script);
    assert_eq!(report, grown_report(m));
    let (content, size) = rest.split_once('\n').unwrap();
    assert_eq!(content, "precious");
    // The kernel lets only a process with CAP_SYS_RESOURCE grow a mounted file system.
    let has_grown = size.trim().parse::<u32>().unwrap() > 300;
    let capabilities = sh("sed -n s/CapEff://p /proc/self/status");
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).unwrap();
    assert_eq!(has_grown, capabilities >> CAP_SYS_RESOURCE & 1 == 1);
}

/// Boots with a damaged partition table: the copy at the end is used, and repairs the table.
fn damaged_table(m: &mut Machine) {
    let image = m.open_image();
    m.detach();
    image.write_all_at(&[0; 512], 512).unwrap();
    m.attach();
    let (report, content) = m.boot("", "cat var/lib/containers/image");
    assert_eq!(
        (report.as_str(), content.as_str()),
        (grown_report(m).as_str(), "precious")
    );
    let mut header = [0; 8];
    image.read_exact_at(&mut header, 512).unwrap();
    assert_eq!(&header, b"EFI PART");
    sh(&format!("e2fsck -fn {}", m.partition()));
}

/// Each process that looks for a disk tells the kernel of a data partition that is in a table and
/// not in sysfs; another process may do so while the first formats the disk.
#[test]
fn a_disk_that_others_look_at_is_formatted() {
    if !can_run() {
        return;
    }
    let head = format_request();
    let observer = Machine::new("observer", MIB, b"not a data disk");
    let script = format!(
        "cd {root}; while rm -rf run && mkdir run
         do {b2p} data --data=/dev/none --root={root}; done",
        root = observer.root().display(),
        b2p = env!("CARGO_BIN_EXE_b2p"),
    );
    let mut processes = [0, 1].map(|_| {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).stdout(Stdio::null());
        shell.stderr(Stdio::null()).spawn().unwrap()
    });
    for n in 0..24 {
        let m = Machine::new(&format!("seen{n}"), 96 * MIB, &head);
        let (report, _) = m.boot("", "true");
        assert!(
            report.starts_with("data=/dev/loop"),
            "{report}: {}",
            m.log()
        );
    }
    for process in &mut processes {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// The helper is killed at many moments, together with the programs that it has started.
#[test]
fn a_format_that_is_cut_is_finished() {
    if !can_run() {
        return;
    }
    let head = format_request();
    for n in 0..12u64 {
        let m = Machine::new(&format!("cut{n}"), 100 * MIB, &head);
        let ms = n * 17 + n * n;
        // The shell is the init of the namespace: its end ends the helper's programs.
        let script = format!(
            "timeout -s KILL 0.{ms:03} {} data --data={} --root={}; true",
            env!("CARGO_BIN_EXE_b2p"),
            m.device,
            m.root().display(),
        );
        sh(&format!(
            "unshare -mpf --propagation private sh -c \"{script}\" >/dev/null 2>&1"
        ));
        let (report, rest) = m.boot("", "cat run/boot2podman/authorized_keys; ls mnt/data");
        assert!(
            report.starts_with("data=/dev/loop"),
            "after {ms} ms: {report} {}",
            m.degraded()
        );
        assert!(
            rest.starts_with("ssh-rsa ") && rest.contains("userdata.tar"),
            "{rest}"
        );
        sh(&format!("e2fsck -fn {}", m.partition()));
    }
}

/// Bytes at offsets of a disk.
type Content = Vec<(u64, Vec<u8>)>;

/// Returns contents of disks that must not be formatted, by their names.
fn refused_contents(request: &[u8], size: u64) -> Vec<(&'static str, Content)> {
    let at = |at: u64, bytes: &[u8]| (at, bytes.to_vec());
    let raid = [0xfc, 0x4e, 0x2b, 0xa9, 1];
    let mbr_entry = [0x80, 0, 0, 0, 7, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    let windows = vec![
        at(446, &mbr_entry),
        at(510, &[0x55, 0xaa]),
        at(MIB + 3, b"NTFS    "),
    ];
    let mut torn = request.to_vec();
    torn[1200] ^= 1;
    let with_request = |more| vec![at(0, request), more];
    vec![
        ("unknown", vec![at(5 * MIB, b"somebody's")]),
        ("at-the-front", vec![at(100, b"x")]),
        ("windows", windows),
        ("ntfs", vec![at(3, b"NTFS    ")]),
        ("lvm", vec![at(512, b"LABELONE"), at(536, b"LVM2 001")]),
        ("luks", vec![at(0, b"LUKS\xba\xbe\0\x02")]),
        ("raid-at-the-end", vec![at(size - 8192, &raid)]),
        ("btrfs-and-request", with_request(at(65600, b"_BHRfS_M"))),
        (
            "gpt-backup-and-request",
            with_request(at(size - 512, b"EFI PART")),
        ),
        ("raid-and-request", with_request(at(size - 8192, &raid))),
        ("torn-archive", vec![at(0, &torn)]),
        ("zfs", vec![at(16384, &[1, 1]), at(16412, b"version")]),
    ]
}

#[test]
fn refused_disks_are_not_changed_by_a_bit() {
    if !can_run() {
        return;
    }
    let request = format_request();
    let size = 96 * MIB;
    for (name, content) in refused_contents(&request, size) {
        let m = Machine::new(name, size, b"");
        let image = m.open_image();
        for (at, bytes) in content {
            image.write_all_at(&bytes, at).unwrap();
        }
        let before = m.checksum();
        sh(&format!("blockdev --flushbufs {}", m.device));
        for options in ["", "--format=blank"] {
            let (report, _) = m.boot(options, "true");
            assert!(report.starts_with("data=ram why="), "{name}: {report}");
            assert!(!m.degraded().is_empty(), "{name}");
        }
        assert_eq!(m.checksum(), before, "{name}");
    }
    let m = Machine::new("never", size, &request);
    let before = m.checksum();
    let (report, _) = m.boot("--format=never", "true");
    assert!(report.contains("b2p.format=never"), "{report}");
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
    for options in ["--format=blank", ""] {
        let (report, _) = m.boot(options, "true");
        assert!(report.starts_with("data=/dev/loop"), "{report}");
    }
}

#[test]
fn damage_is_mended_or_left_alone() {
    if !can_run() {
        return;
    }
    let mut m = Machine::new("damage", 96 * MIB, &format_request());
    let image = m.image();
    // A copy of the image of a mounted disk has the state after a power cut.
    let cut = format!(
        "echo kept > var/lib/containers/x; sync; echo lost > var/lib/containers/y
         sync -f mnt/data; cp --sparse=always {0} {0}.cut",
        image.display()
    );
    m.boot("", &cut);
    m.detach();
    fs::rename(m.dir.join("image.cut"), &image).unwrap();
    m.attach();
    let (report, rest) = m.boot("", "cat var/lib/containers/x");
    assert!(
        report.starts_with("data=/dev/loop") && rest == "kept",
        "{report} {rest}"
    );
    let log = m.log();
    assert!(log.is_empty() || log.contains("e2fsck"), "{log}");
    // The root is no directory any more, and the file system is marked as damaged.
    let part = m.partition();
    sh(&format!(
        "debugfs -w -R 'clri <2>' {part}; debugfs -w -R 'ssv state 2' {part}; sync"
    ));
    let (report, _) = m.boot("", "true");
    assert!(
        report.starts_with("data=ram why=") && report.contains("damaged"),
        "{report}"
    );
    assert!(m.degraded().contains("e2fsck"), "{}", m.degraded());
}

#[test]
fn files_in_ram_are_not_hidden_by_a_mount() {
    if !can_run() {
        return;
    }
    let m = Machine::new("ram", 96 * MIB, &format_request());
    m.boot("", "true");
    let database = "var/lib/containers/user/1000/db";
    fs::write(m.root().join(database), "in RAM").unwrap();
    let script = format!("cat {database}; grep -c mnt/data /proc/self/mountinfo || true");
    let (report, rest) = m.boot("", &script);
    assert!(
        report.starts_with("data=ram why=") && report.contains("hidden"),
        "{report}"
    );
    assert_eq!(rest, "in RAM0");
}
