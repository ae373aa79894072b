// SPDX-License-Identifier: Apache-2.0
//! Damaged, foreign and hostile extensions: each is named with the reason, and nothing has changed.

use std::fs;
use std::path::Path;

use crate::life::refuses;
use crate::{packed, script};
use anyhow::{Context, Result, ensure};
use initramfs::ext::{self, Extension};
use initramfs::fetch::BuildConfig;
use initramfs::tools;
use initramfs::tree::{Node, Tree};
use tar::{Builder, EntryType, Header};
use tests::{Checks, Guest};

/// Content of an image that is refused: name, what is in it, and the reason.
type Hostile = (&'static str, fn(&mut Tree), &'static str);

const IMAGES: &[Hostile] = &[
    (
        "h-suid",
        |tree| tree.bytes("usr/bin/x", "x", 0o4755),
        "/usr/bin/x: a set-user-ID",
    ),
    (
        "h-sgid",
        |tree| tree.bytes("usr/bin/x", "x", 0o2755),
        "/usr/bin/x: a set-user-ID or set-group-ID",
    ),
    (
        "h-device",
        |tree| tree.put("usr/x", Node::Char(1, 3), 0o666),
        "/usr/x: a device",
    ),
    (
        "h-above",
        |tree| tree.link("usr/bin/x", "../../../x"),
        "/usr/bin/x: a link to \"../../../x\", above the root",
    ),
    (
        "h-shadow",
        |tree| tree.link("usr/share/x", "../../etc/shadow"),
        "/usr/share/x: a link to",
    ),
    (
        "h-root",
        |tree| tree.link("usr/share/x", "/"),
        "/usr/share/x: a link to",
    ),
    (
        "h-disk",
        |tree| tree.link("etc/x", "/dev/vda"),
        "/etc/x: a link to \"/dev/vda\"",
    ),
    (
        "h-sshd",
        |tree| tree.bytes("usr/local/sbin/sshd", "x", 0o755),
        "the machine's own sshd",
    ),
    (
        "h-podman",
        |tree| tree.bytes("bin/podman", "x", 0o755),
        "the machine's own podman",
    ),
    (
        "h-bash",
        |tree| tree.bytes("usr/local/bin/bash", "x", 0o755),
        "hide the machine's /usr/bin/bash",
    ),
    (
        "h-passwd",
        |tree| tree.bytes("etc/passwd", "x::0:0::/:/bin/sh", 0o644),
        "/etc/passwd belongs",
    ),
    (
        "h-sudoers",
        |tree| tree.bytes("etc/sudoers.d/x", "x", 0o440),
        "/etc/sudoers.d/x belongs",
    ),
    (
        "h-ssh",
        |tree| tree.bytes("etc/ssh/sshd_config.d/x.conf", "x", 0o644),
        "belongs to the machine",
    ),
    (
        "h-init",
        |tree| tree.bytes("usr/lib/boot2podman/init", "x", 0o755),
        "belongs to the machine",
    ),
    (
        "h-run",
        |tree| tree.bytes("run/boot2podman/x", "x", 0o644),
        "below /usr",
    ),
    (
        "h-keys",
        |tree| tree.bytes("root/.ssh/authorized_keys", "x", 0o644),
        "below /usr",
    ),
    (
        "h-preload",
        |tree| tree.bytes("etc/ld.so.preload", "x", 0o644),
        "/etc/ld.so.preload belongs",
    ),
    (
        "h-module",
        |tree| tree.bytes("usr/lib/modules/6.1.0/x.ko", "x", 0o644),
        "names no kernel",
    ),
    (
        "h-circle",
        |tree| tree.link("usr/share/x", "x"),
        "which is a circle",
    ),
    (
        "h-absolute",
        |tree| tree.link("usr/share/x", "/root/.ssh/authorized_keys"),
        "/usr/share/x: a link to \"/root/.ssh/authorized_keys\"",
    ),
    (
        "h-binfmt",
        |tree| {
            let rule = ":x:M::\\x7fELF\\x02::/usr/bin/h-binfmt:F\n";
            tree.bytes("usr/lib/binfmt.d/x.conf", rule, 0o644);
        },
        "rule x of binfmt_misc: it would take programs of the machine",
    ),
    (
        "h-unnamed",
        |tree| tree.bytes("usr/lib/boot2podman/services/x", "exec /x\n", 0o644),
        "not in the manifest",
    ),
];

/// Change of a manifest, and the reason for which it is refused.
type Changed = (&'static str, fn(&str) -> Vec<u8>, &'static str);

const MANIFESTS: &[Changed] = &[
    (
        "m-crlf",
        |text| text.replace('\n', "\r\n").into(),
        "line 1: it ends in CR LF",
    ),
    (
        "m-twice",
        |text| format!("{text}suite sid\n").into(),
        "suite is there twice",
    ),
    (
        "m-huge",
        |text| format!("{text}{}", "# x\n".repeat(20_000)).into(),
        "longer than 64 KiB",
    ),
    ("m-binary", |_| vec![0xff; 300], "not text"),
    (
        "m-cut",
        |text| {
            text.lines()
                .take(9)
                .map(|l| format!("{l}\n"))
                .collect::<String>()
                .into()
        },
        "truncated",
    ),
    (
        "m-half",
        |text| text.as_bytes().get(..200).unwrap_or_default().into(),
        "its manifest",
    ),
    ("m-empty", |_| Vec::new(), "truncated"),
    (
        "m-format",
        |text| text.replace("format 1", "format 9").into(),
        "format 9, this machine reads 1",
    ),
    (
        "m-control",
        |text| format!("{text}later \x1b[2J\n").into(),
        "there is a control character",
    ),
    (
        "m-odd",
        |text| format!("{text}user ../etc\n").into(),
        "../etc is no name of a user",
    ),
    (
        "m-key",
        |text| format!("{text}La/ter x\n").into(),
        "the first word",
    ),
    (
        "m-user",
        |text| format!("{text}user podman-x 100\n").into(),
        "another user than podman-x has the number",
    ),
    (
        "m-sshd",
        |text| format!("{text}service sshd\n").into(),
        "service sshd: a service of the machine has this name",
    ),
    (
        "m-lost",
        |text| with_module(text).into(),
        "needs no_such, which neither",
    ),
];

/// Asks for a module that no kernel has; the manifest has the release of the kernel in its first comment
/// without a space.
fn with_module(text: &str) -> String {
    let release = text
        .lines()
        .find_map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')));
    format!(
        "{text}kernel {}\nmodule no-such\n",
        release.unwrap_or_default()
    )
}

/// Adds the extensions to the data disk.
pub fn fill(dir: &Path) -> Result<()> {
    for (name, change, _) in IMAGES {
        packed(dir, name, |extension| {
            change(&mut extension.tree);
            Ok(())
        })?;
    }
    let release = BuildConfig::from_env()?.linux_tree().kernel_release()?;
    let service = packed(dir, "m-sshd", |extension| {
        let path = "usr/lib/boot2podman/services/sshd";
        extension.tree.bytes(path, "exec /usr/bin/x\n", 0o644);
        Ok(())
    })?;
    let later = dir.join("later.erofs");
    for (name, change, _) in MANIFESTS {
        let image = dir.join(format!("{name}.erofs"));
        let from = if *name == "m-sshd" { &service } else { &later };
        if *from != image {
            fs::copy(from, &image)?;
        }
        let text = fs::read_to_string(ext::manifest_of(from))?;
        let text = text.replace("name later\n", &format!("name {name}\n"));
        let text = text.replace("format 1\n", &format!("format 1\n#{release}\n"));
        fs::write(ext::manifest_of(&image), change(&text))?;
    }
    special(dir, "h-fifo", |tar| {
        let mut header = Header::new_gnu();
        plain(&mut header);
        header.set_entry_type(EntryType::Fifo);
        tar.append_data(&mut header, "usr/x", std::io::empty())
    })?;
    special(dir, "h-capable", |tar| {
        tar.append_pax_extensions([("SCHILY.xattr.security.capability", CAPABILITY)])?;
        let mut header = Header::new_ustar();
        plain(&mut header);
        header.set_entry_type(EntryType::Regular);
        tar.append_data(&mut header, "usr/x", std::io::empty())
    })
}

/// Extended attribute of a file that may open raw sockets: `vfs_cap_data` of revision 2 with
/// `CAP_NET_RAW` (capabilities(7), include/uapi/linux/capability.h).
const CAPABILITY: &[u8] = &[
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Makes an image with an entry that no tree of the builder has.
fn special(
    dir: &Path,
    name: &str,
    add: impl FnOnce(&mut Builder<fs::File>) -> std::io::Result<()>,
) -> Result<()> {
    let image = script(dir, name)?;
    let tar = dir.join("special.tar");
    let mut builder = Builder::new(fs::File::create(&tar)?);
    for path in ["./", "usr/"] {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        plain(&mut header);
        builder.append_data(&mut header, path, std::io::empty())?;
    }
    add(&mut builder)?;
    builder.into_inner()?;
    let debian = BuildConfig::from_env()?.userland_tree();
    let mut command = tools::command_in(&debian, "mkfs.erofs")?;
    fs::remove_file(&image)?;
    tools::run(
        command
            .args(["-T0", "--quiet", "--tar=f"])
            .arg(&image)
            .arg(&tar),
        "mkfs.erofs",
    )?;
    fs::remove_file(tar)?;
    let mut extension = Extension::default();
    extension.manifest.clone_from(&manifest(name));
    let size = fs::metadata(&image)?.len();
    fs::write(
        ext::manifest_of(&image),
        extension.manifest.text(size, &crate::sum(&image)?),
    )?;
    Ok(())
}

fn plain(header: &mut Header) {
    header.set_mode(0o755);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
}

fn manifest(name: &str) -> ext::manifest::Manifest {
    ext::manifest::Manifest {
        name: name.into(),
        suite: "trixie".into(),
        architecture: initramfs::arch::Arch::host().debian,
        libc: "2.41".into(),
        ..Default::default()
    }
}

/// Script that prints all that an addition may change.
const STATE: &str = "find /etc /usr /opt /var/lib/boot2podman -xdev | sort | sha256sum; cut -d' ' -f2 /proc/mounts; \
    sha256sum /etc/passwd /etc/group /etc/shadow; cut -d' ' -f1 /proc/modules | sort; \
    ls -A /run/boot2podman/ext /run/boot2podman/services; b2p status --json | grep -o '\"name\":\"[^\"]*\"'";

/// Runs the checks.
pub fn check(checks: &mut Checks, guest: &Guest) {
    checks.check(
        "hostile and damaged ones change nothing and are named",
        || {
            guest.sh("modprobe loop; :")?;
            let before = guest.sh(STATE)?;
            let images = IMAGES.iter().map(|(name, _, reason)| (name, reason));
            let manifests = MANIFESTS.iter().map(|(name, _, reason)| (name, reason));
            let special = [
                (&"h-fifo", &"/usr/x: a fifo"),
                (&"h-capable", &"/usr/x: a file with capabilities"),
            ];
            for (name, reason) in images.chain(manifests).chain(special) {
                if *name == "h-suid" {
                    continue; // The check of --keep has it.
                }
                refuses(guest, &format!("b2p ext add {name}"), &[reason, name])?;
            }
            let after = guest.sh(STATE)?;
            let changed = before.lines().zip(after.lines()).find(|(a, b)| a != b);
            ensure!(before == after, "{changed:?}");
            guest.sh("! dmesg | grep -q 'BUG:'").context("the kernel")?;
            Ok(())
        },
    );
}
