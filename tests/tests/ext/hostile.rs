// SPDX-License-Identifier: Apache-2.0
//! Damaged, foreign and hostile extensions: each is named with the reason, and nothing has changed.

use std::fs;
use std::path::Path;

use crate::manifests::MANIFESTS;
use crate::{again, images, packed, special};
use anyhow::{Context, Result, ensure};
use initramfs::ext;
use initramfs::fetch::BuildConfig;
use initramfs::tree::{Node, Tree};
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
        // The form of a whiteout (Documentation/filesystems/overlayfs.rst).
        "h-whiteout",
        |tree| tree.put("usr/bin/bash", Node::Char(0, 0), 0o666),
        "/usr/bin/bash: a device",
    ),
    (
        "h-many",
        |tree| (0..50_001).for_each(|n| tree.link(&format!("usr/share/x/{n}"), "x")),
        "it has more than 50000 files",
    ),
    (
        "h-deep",
        |tree| tree.bytes(&"usr/".repeat(40), "x", 0o644),
        "too deep",
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
        |tree| tree.bytes("usr/bin/podman", "x", 0o755),
        "the machine's own podman",
    ),
    (
        "h-bash",
        |tree| tree.bytes("usr/local/bin/bash", "x", 0o755),
        "hide the machine's /usr/bin/bash",
    ),
    (
        // /lib is a link: its files have one path.
        "h-merged",
        |tree| {
            tree.link("lib/up", "/etc/containers");
            tree.link("usr/share/x", "../lib/up/../shadow");
        },
        "/lib: an extension has files below /usr",
    ),
    (
        "h-back",
        |tree| tree.link("usr/share/x", "y/../shadow"),
        "/usr/share/x: a link to \"y/../shadow\", which goes through a directory and back",
    ),
    (
        "h-parent",
        |tree| tree.link("usr/share/x", "/var/lib"),
        "/usr/share/x: a link to \"/var/lib\", out of the files",
    ),
    (
        "h-helpers",
        |tree| {
            let text = "[engine]\nhelper_binaries_dir = [\"/opt/x\"]\n";
            tree.bytes("etc/containers/containers.conf", text, 0o644);
        },
        "/etc/containers/containers.conf belongs",
    ),
    (
        // Directories that podman gives to every container (containers-mounts.conf(5)).
        "h-mounts",
        |tree| tree.bytes("etc/containers/mounts.conf", "/etc/ssh:/x\n", 0o644),
        "/etc/containers/mounts.conf belongs",
    ),
    (
        "h-sysctl",
        |tree| {
            tree.bytes(
                "usr/lib/sysctl.d/x.conf",
                "kernel.kptr_restrict = 0\n",
                0o644,
            )
        },
        "/usr/lib/sysctl.d belongs",
    ),
    (
        "h-unit",
        |tree| tree.bytes("etc/systemd/system/web.service", "[Service]\n", 0o644),
        "belongs to the machine itself",
    ),
    (
        "h-bidi",
        |tree| tree.bytes("usr/bin/\u{202e}sl", "x", 0o755),
        "/usr/bin/\\u{202e}sl: its name is not one printable line",
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
        "h-nologin",
        |tree| tree.bytes("etc/nologin", "x", 0o644),
        "/etc/nologin belongs",
    ),
    (
        "h-pam",
        |tree| tree.bytes("usr/lib/pam.d/su", "auth sufficient pam_permit.so\n", 0o644),
        "belongs to the machine itself",
    ),
    (
        "h-empty",
        |tree| tree.dir("var/lib/boot2podman/services/x"),
        "belongs to the machine itself",
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
        "h-circles",
        |tree| {
            tree.link("usr/share/x", "y/x");
            tree.link("usr/share/y", "/usr/share/z");
            tree.link("usr/share/z", "x");
        },
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
    images::fill(dir)?;
    special::fill(dir, &later, &release)
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
            let images = IMAGES.iter().map(|(name, _, reason)| (*name, *reason));
            let manifests = MANIFESTS.iter().map(|(name, _, reason)| (*name, *reason));
            let mut rows: Vec<(&str, &str)> = images.chain(manifests).collect();
            rows.extend(special::rows());
            rows.extend(images::rows());
            rows.extend(NAMES);
            rows.extend(again::NEEDY);
            // The check of --keep has it.
            rows.retain(|(name, _)| *name != "h-suid");
            guest.sh("modprobe loop; :")?;
            let before = guest.sh(STATE)?;
            refuses_all(guest, &rows)?;
            special::refused_by_keep(guest)?;
            let after = guest.sh(STATE)?;
            let changed = before.lines().zip(after.lines()).find(|(a, b)| a != b);
            ensure!(before == after, "{changed:?}");
            images::unusual(guest)?;
            guest.sh("! dmesg | grep -q 'BUG:'").context("the kernel")?;
            Ok(())
        },
    );
}

/// Names that no extension has, and the reason.
const NAMES: [(&str, &str); 5] = [
    ("Later", "no name of an extension"),
    ("la.ter", "no name of an extension"),
    ("./Later", "not a name of an extension: a-z"),
    (
        "a23456789012345678901234567890123",
        "no name of an extension",
    ),
    ("h-suid.erofs", "no name of an extension"),
];

/// Expects that none of the extensions is added, and one line with the name and the reason for each.
fn refuses_all(guest: &Guest, rows: &[(&str, &str)]) -> Result<()> {
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let script = format!(
        "cd /tmp; for name in {}; do b2p ext add $name 2>&1 && echo \"$name was added\"; done; :",
        names.join(" ")
    );
    let said = guest.sh(&script)?;
    let mut lines = said.lines();
    for (name, reason) in rows {
        let line = lines.next().unwrap_or_default();
        let is_named = line.starts_with(&format!("b2p ext: {name}: ")) && line.contains(reason);
        ensure!(is_named, "{name}: {line:?}, not {reason:?}");
    }
    ensure!(lines.next().is_none(), "{said}");
    Ok(())
}
