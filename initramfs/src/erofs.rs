//! The userland image's file system, and every parameter of it in one place.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::archive;
use crate::fetch::PackageTree;
use crate::stamp::Inputs;
use crate::tree::{Node, Tree};
use crate::{fsutil, tools};

/// What mkfs.erofs is told. lz4hc unpacks fastest (a cold podman waits for nothing
/// else), 64 KiB clusters are the middle between size and what a read must unpack;
/// zstd, second here, is for what [`HINTS`] names. The figures are in docs/measured/figures.md. The fixed time and UUID make the result a pure
/// function of its inputs.
pub const PARAMETERS: &[&str] = &[
    "-zlz4hc,level=12:zstd,level=12",
    "-C65536",
    "-T0",
    "-Ub2b2b2b2-0000-4000-8000-b00720dbca11",
    "-Luserland",
    "-x-1",
    "--quiet",
];

/// Which files are packed how (mkfs.erofs(1), --compress-hints): cluster size,
/// algorithm as its place in `-z`, pattern; the first that matches counts. Cold files
/// are packed tight: every byte of the image is RAM.
const HINTS: &[(u32, usize, &str)] = &[
    // What stands between PID 1 and the ready line: small reads of small files.
    (
        16384,
        0,
        r"(sshd|sshd-session|sshd-auth|bash|libcrypto\.so.*|libc\.so.*|ld-linux.*|libz\.so.*|libselinux.*|libpcre2.*|libcrypt\.so.*|libtinfo.*|libaudit.*|libcap-ng.*|libkrb5.*|libgssapi.*|libwtmpdb.*|libkeyutils.*|libcom_err.*|libresolv.*)$",
    ),
    // Loaded by every boot in QEMU, or by its first container, or to see whether there
    // is a data disk.
    (
        65536,
        0,
        r"modules/.*/(virtio_net|net_failover|failover|qemu_fw_cfg|virtio_blk|virtio_scsi|scsi_common|scsi_mod|sd_mod|libata|ata_piix|libahci|ahci|bridge|stp|llc|veth|nf_.*|nft_.*|nfnetlink)\.ko$",
    ),
    // One machine loads a handful of the others.
    (65536, 1, r"modules/.*\.ko$"),
    // Rootless ports, DNS of networks with a name, disks, people's tools. Not netavark: as
    // zstd it is 1.2 MB smaller, and the first container 160 ms of instructions slower.
    (
        65536,
        1,
        r"(rootlessport|aardvark-dns|libsemanage.*|libsepol.*|libm\.so.*|libgmp.*|libsmartcols.*|lsblk|libudev.*|e2fsck|mke2fs|mkfs\..*|resize2fs|tune2fs|xfs_.*|catatonit|pasta.*|passt.*|sudo.*|scp|sftp|ssh-add|ssh-agent|ssh-keygen)$",
    ),
];

fn hints() -> String {
    let line =
        |(size, algorithm, pattern): &(u32, usize, &str)| format!("{size} {algorithm} {pattern}\n");
    HINTS.iter().map(line).collect()
}

/// How the image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Each file by itself, for where the image lies in memory as it is.
    PerFile,
    /// Not at all: the whole initrd is ([`crate::initrd::Layout::Solid`]).
    None,
}

impl Compression {
    /// What mkfs.erofs is told.
    fn parameters(self) -> Vec<&'static str> {
        let of_packing = |p: &&str| p.starts_with("-z") || p.starts_with("-C");
        let all = PARAMETERS.iter().copied();
        all.filter(|p| self == Compression::PerFile || !of_packing(p))
            .collect()
    }
}

/// A hash of the tree and the parameters. Files of the packages count by where they
/// are (their directory's name is a hash itself), files made here by what they hold.
pub fn key(tree: &Tree, packages: &[&str], packed: Compression) -> String {
    let mut inputs = Inputs::new();
    inputs
        .add("parameters", packed.parameters().join(" "))
        .add("hints", hints())
        .add("packages", packages.join(" "));
    for (path, entry) in tree.iter() {
        inputs.add(
            path,
            format!("{:o} {} {}", entry.mode, entry.uid, entry.gid),
        );
        inputs.add("node", format!("{:?}", entry.node));
    }
    inputs.finish()
}

/// What an extension's image is packed with: it lies on a disk, not in RAM, and its size
/// is what counts. The figures are in docs/guide/extensions.md.
pub const EXTENSION: &[&str] = &[
    "-zzstd,level=12",
    "-C65536",
    "-T0",
    "-Ub2b2b2b2-0000-4000-8000-e87e27101075",
    "-Lextension",
    "-x-1",
    "--quiet",
];

/// The same as [`key`], of an extension.
pub fn extension_key(tree: &Tree, packages: &[&str]) -> String {
    let mut inputs = Inputs::new();
    inputs.add("parameters", EXTENSION.join(" "));
    inputs.add("tree", key(tree, packages, Compression::None));
    inputs.finish()
}

/// Makes an extension's image of `tree` at `to`.
pub fn make_extension(debian: &PackageTree, tree: &Tree, to: &Path) -> Result<()> {
    let tar = to.with_extension("tar");
    let file = fs::File::create(&tar).with_context(|| format!("write {}", tar.display()))?;
    archive::tar::write(tree, std::io::BufWriter::new(file))?;
    let mut command = tools::command_in(debian, "mkfs.erofs")?;
    command.args(EXTENSION).arg("--tar=f").arg(to).arg(&tar);
    tools::run(&mut command, "mkfs.erofs")?;
    fsutil::remove(&tar)
}

/// Makes an image of `tree` at `to`.
pub fn make(debian: &PackageTree, tree: &Tree, packed: Compression, to: &Path) -> Result<()> {
    let tar = to.with_extension("tar");
    let file = fs::File::create(&tar).with_context(|| format!("write {}", tar.display()))?;
    archive::tar::write(tree, std::io::BufWriter::new(file))?;
    let mut command = tools::command_in(debian, "mkfs.erofs")?;
    let list = to.with_extension("hints");
    fs::write(&list, hints()).with_context(|| format!("write {}", list.display()))?;
    command.args(packed.parameters());
    if packed == Compression::PerFile {
        command.arg("--compress-hints").arg(&list);
    }
    command.arg("--tar=f").arg(to).arg(&tar);
    tools::run(&mut command, "mkfs.erofs")?;
    fsutil::remove(&list)?;
    fsutil::remove(&tar)
}

/// How many entries and files a tree has, for a line of progress.
pub fn count(tree: &Tree) -> (usize, usize) {
    let files = tree
        .iter()
        .filter(|(_, e)| matches!(e.node, Node::File(_)))
        .count();
    (tree.iter().count(), files)
}
