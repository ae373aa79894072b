// SPDX-License-Identifier: Apache-2.0
//! Hostile extensions that no tree of the builder has: kinds of files and extended attributes, lists of kernel
//! modules, and other things than files in the place of an image or a manifest.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::life::refuses;
use crate::{packed, script};
use anyhow::Result;
use initramfs::ext::{self, Extension};
use initramfs::fetch::BuildConfig;
use initramfs::tools;
use nix::sys::stat::Mode;
use tar::{Builder, EntryType, Header};
use tests::Guest;

/// Entry of an image, its extended attribute, and the reason for which it is refused.
type Special = (
    &'static str,
    EntryType,
    Option<(&'static str, &'static [u8])>,
    &'static str,
);

const IMAGES: &[Special] = &[
    ("h-fifo", EntryType::Fifo, None, "/usr/x: a fifo"),
    (
        "h-capable",
        EntryType::Regular,
        Some(("security.capability", CAPABILITY)),
        "/usr/x: it has the extended attribute security.capability",
    ),
    (
        "h-acl",
        EntryType::Regular,
        Some(("system.posix_acl_access", ACL)),
        "/usr/x: it has the extended attribute system.posix_acl_access",
    ),
    (
        "h-opaque",
        EntryType::Directory,
        Some(("trusted.overlay.opaque", b"y")),
        "/usr/x: it has the extended attribute trusted.overlay.opaque",
    ),
];

/// List below the directory of a kernel's modules, its text, and the reason for which it is refused.
type List = (&'static str, &'static str, &'static str, &'static str);

const LISTS: &[List] = &[
    (
        "l-module",
        "ext/l-module.dep",
        "x/veth.ko:\n",
        "its module veth has the name of one of the machine",
    ),
    (
        "l-path",
        "ext/l-path.dep",
        "x.ko:\n",
        "its list of modules has \"x.ko\", which is no file of it",
    ),
    (
        "l-other",
        "ext/later.alias",
        "",
        "a list of the modules of another extension",
    ),
    (
        "l-machine",
        "modules.softdep",
        "softdep ext4 pre: x\n",
        "a list of the machine's own modules",
    ),
];

/// Name, and the reason for which what lies there is refused.
const ODD: &[(&str, &str)] = &[
    ("o-fifo", "o-fifo.erofs: not a file: a fifo"),
    ("o-dir", "o-dir.erofs: not a file: a directory"),
    ("o-device", "o-device.erofs: not a file: a device"),
    ("o-nowhere", "o-nowhere.erofs: ENOENT"),
    ("o-pipe", "o-pipe.manifest: no regular file"),
    ("o-shadow", "o-shadow.manifest: no regular file"),
];

/// Returns the names and the reasons.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let images = IMAGES.iter().map(|(name, .., reason)| (*name, *reason));
    let lists = LISTS.iter().map(|(name, .., reason)| (*name, *reason));
    images.chain(lists).chain(ODD.iter().copied())
}

/// Expects that `--keep` refuses what is no pair of files for the same reasons, waits for none of them and takes
/// no room; and that one which is refused keeps nothing of those that it needs.
pub fn refused_by_keep(guest: &Guest) -> Result<()> {
    let dir = "/var/lib/boot2podman/ext";
    guest.sh(&format!(
        "mkdir -p /tmp/odd && cp -a {dir}/o-* {dir}/n-suid.* {dir}/base.* /tmp/odd/"
    ))?;
    let sparse = "cd /tmp/odd && sed 's/^name .*/name o-sparse/' o-fifo.manifest >o-sparse.manifest && \
        truncate -s 1099511627776 o-sparse.erofs";
    guest.sh(sparse)?;
    let rows = ODD
        .iter()
        .copied()
        .chain([("o-sparse", "it has 1099511627776 bytes")]);
    for (name, reason) in rows.chain([("n-suid", "a set-user-ID")]) {
        let add = format!("timeout 30 b2p ext add --keep /tmp/odd/{name}.erofs");
        refuses(guest, &add, &[reason])?;
    }
    guest
        .sh(&format!("! ls {dir}/.new/* 2>/dev/null"))
        .map(drop)
}

/// Adds the extensions to the data disk; `later` is the image of a valid one, `release` that of the kernel.
pub fn fill(dir: &Path, later: &Path, release: &str) -> Result<()> {
    for row in IMAGES {
        special(dir, row)?;
    }
    for (name, path, text, _) in LISTS {
        packed(dir, name, |extension| {
            let path = format!("usr/lib/modules/{release}/{path}");
            extension.tree.bytes(&path, *text, 0o644);
            let module = format!("usr/lib/modules/{release}/x/veth.ko");
            extension.tree.bytes(&module, "x", 0o644);
            extension.manifest.kernel = Some(release.to_owned());
            Ok(())
        })?;
    }
    odd(dir, later)
}

/// Puts things of other kinds where files are looked for.
fn odd(dir: &Path, later: &Path) -> Result<()> {
    let text = fs::read_to_string(ext::manifest_of(later))?;
    for (name, _) in ODD {
        let image = dir.join(format!("{name}.erofs"));
        let manifest = ext::manifest_of(&image);
        match *name {
            "o-pipe" => nix::unistd::mkfifo(&manifest, Mode::S_IRWXU)?,
            "o-shadow" => symlink("/etc/shadow", &manifest)?,
            _ => fs::write(
                &manifest,
                text.replace("name later\n", &format!("name {name}\n")),
            )?,
        }
        match *name {
            "o-fifo" => nix::unistd::mkfifo(&image, Mode::S_IRWXU)?,
            "o-dir" => fs::create_dir(&image)?,
            "o-device" => symlink("/dev/vda", &image)?,
            "o-nowhere" => symlink("nowhere", &image)?,
            _ => drop(fs::copy(later, &image)?),
        }
    }
    Ok(())
}

/// Attribute of a file that may open raw sockets: `vfs_cap_data` of revision 2 with
/// `CAP_NET_RAW` (capabilities(7), include/uapi/linux/capability.h).
const CAPABILITY: &[u8] = &[
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Attribute of a file that the user 1000 may write: `posix_acl_xattr_header` and entries of the owner, that user,
/// the group, the mask and the others (include/uapi/linux/posix_acl_xattr.h).
const ACL: &[u8] = &[
    2, 0, 0, 0, //
    1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, //
    2, 0, 7, 0, 0xe8, 3, 0, 0, //
    4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, //
    0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, //
    0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff,
];

/// Makes an image with an entry that no tree of the builder has.
fn special(dir: &Path, (name, kind, attribute, _): &Special) -> Result<()> {
    let image = script(dir, name)?;
    let tar = dir.join("special.tar");
    let mut builder = Builder::new(fs::File::create(&tar)?);
    for path in ["./", "usr/"] {
        builder.append_data(&mut plain(EntryType::Directory), path, io::empty())?;
    }
    if let Some((attribute, value)) = attribute {
        let key = format!("SCHILY.xattr.{attribute}");
        builder.append_pax_extensions([(key.as_str(), *value)])?;
    }
    builder.append_data(&mut plain(*kind), "usr/x", io::empty())?;
    builder.into_inner()?;
    let debian = BuildConfig::from_env()?.userland_tree();
    let mut command = tools::command_in(&debian, "mkfs.erofs")?;
    fs::remove_file(&image)?;
    command.args(["-T0", "--quiet", "--tar=f"]);
    tools::run(command.arg(&image).arg(&tar), "mkfs.erofs")?;
    fs::remove_file(tar)?;
    let extension = Extension {
        manifest: manifest(name),
        ..Extension::default()
    };
    let (size, sum) = (fs::metadata(&image)?.len(), crate::sum(&image)?);
    Ok(fs::write(
        ext::manifest_of(&image),
        extension.manifest.text(size, &sum),
    )?)
}

fn plain(kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
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
