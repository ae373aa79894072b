// SPDX-License-Identifier: Apache-2.0
//! erofs images of the userland and of extensions, with all parameters of mkfs.erofs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::archive;
use crate::fetch::PackageTree;
use crate::stamp::Inputs;
use crate::tree::{Node, Tree};
use crate::{fsutil, tools};

/// Options of mkfs.erofs for the userland. lz4hc is the fastest to unpack, and the first start of podman
/// mostly waits for unpacking; clusters of 64 KiB are a compromise between size and the amount that a read
/// unpacks. zstd, the second algorithm, is for files that [`HINTS`] names. The end of a file is stored
/// beside its inode (`ztailpacking`), in place of most of a block. The figures are in
/// docs/measured/figures.md. With a fixed time and UUID the result depends on its inputs only.
pub const OPTIONS: &[&str] = &[
    "-zlz4hc,level=12:zstd,level=15",
    "-C65536",
    "-Eztailpacking",
    "-T0",
    "-Ub2b2b2b2-0000-4000-8000-b00720dbca11",
    "-Luserland",
    "-x-1",
    "--quiet",
];

/// Compression of files by name (mkfs.erofs(1), --compress-hints): cluster size, index of the
/// algorithm in `-z`, pattern; the first match counts. Files that are rarely read are compressed
/// most, because the image occupies RAM.
const HINTS: &[(u32, usize, &str)] = &[
    // Files that are read between the start of PID 1 and the ready line, in small pieces.
    (
        16384,
        0,
        r"(sshd|sshd-session|sshd-auth|libcrypto\.so.*|libc\.so.*|ld-linux.*|libz\.so.*|libselinux.*|libpcre2.*|libcrypt\.so.*|libaudit.*|libcap-ng.*|libkrb5.*|libgssapi.*|libwtmpdb.*|libkeyutils.*|libcom_err.*|libresolv.*)$",
    ),
    // Modules that every boot in QEMU loads, for the data disk or the first container.
    (
        65536,
        0,
        r"modules/.*/(virtio_net|net_failover|failover|qemu_fw_cfg|virtio_blk|virtio_scsi|scsi_common|scsi_mod|sd_mod|libata|ata_piix|libahci|ahci|bridge|stp|llc|veth|nf_.*|nft_.*|nfnetlink)\.ko$",
    ),
    // A machine loads few of the other modules.
    (65536, 1, r"modules/.*\.ko$"),
    // The login shell, rootless ports, the generator of units, DNS of named networks, disks, sudo (which alone needs
    // libssl and libapparmor), libsubid and its libraries, of which podman uses a few functions, interactive tools,
    // authorities, mount(8) and its library, the maps of a user's namespace, descriptions of interfaces; libraries of which
    // a start touches the tables alone: libzstd, which libcrypto needs for certificates that are compressed, and libgpgme
    // with its own, which podman calls for signatures of images. The list lacks
    // netavark: with zstd it is 1.2 MB smaller, and the first container takes 160 ms of instructions longer.
    (
        65536,
        1,
        r"(bin/bash|rootlessport|podman/quadlet|aardvark-dns|libsemanage.*|libsepol.*|libm\.so.*|libgmp.*|libsmartcols.*|lsblk|libblkid.*|bin/blkid|libudev.*|e2fsck|mke2fs|mkfs\..*|resize2fs|tune2fs|xfs_.*|pasta.*|passt.*|sudo.*|scp|sftp|ssh-add|ssh-agent|ssh-keygen|sftp-server|libedit\.so.*|bin/ps|libproc2\.so.*|libssl\.so.*|libapparmor\.so.*|libext2fs\.so.*|libe2p\.so.*|libuuid\.so.*|libbz2\.so.*|libsubid\.so.*|libbsd\.so.*|libmd\.so.*|libacl\.so.*|libattr\.so.*|chattr|lsattr|ca-certificates\.crt|bin/u?mount|libmount\.so.*|newuidmap|newgidmap|share/varlink/.*|libzstd\.so.*|libgpgme\.so.*|libassuan\.so.*|libgpg-error\.so.*|libtinfo\.so.*)$",
    ),
];

fn hints() -> String {
    let line =
        |(size, algorithm, pattern): &(u32, usize, &str)| format!("{size} {algorithm} {pattern}\n");
    HINTS.iter().map(line).collect()
}

/// Compression of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// File by file, for an image that is copied unchanged to memory.
    PerFile,
    /// None, for an initrd that is compressed as a whole ([`crate::initrd::Layout::Solid`]).
    None,
}

impl Compression {
    /// Returns the options of mkfs.erofs.
    fn options(self) -> Vec<&'static str> {
        let is_compression = |o: &&str| o.starts_with("-z") || o.starts_with("-C");
        let options = OPTIONS.iter().copied();
        options
            .filter(|o| self == Compression::PerFile || !is_compression(o))
            .collect()
    }
}

/// Returns a hash of the tree and the options. Files of the packages are identified by their path,
/// which contains a hash of the packages; files of the build by their content.
pub fn key(tree: &Tree, packages: &[&str], compression: Compression) -> String {
    let mut inputs = Inputs::new();
    inputs
        .add("parameters", compression.options().join(" "))
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

/// Options of mkfs.erofs for an extension, whose image is on a disk instead of in RAM, and should
/// be small. The figures are in docs/guide/extensions.md.
pub const EXTENSION_OPTIONS: &[&str] = &[
    "-zzstd,level=9",
    "-C65536",
    "-Eztailpacking",
    "-T0",
    "-Ub2b2b2b2-0000-4000-8000-e87e27101075",
    "-Lextension",
    "-x-1",
    "--quiet",
];

/// Returns a hash of an extension's tree and options.
pub fn extension_key(tree: &Tree, packages: &[&str]) -> String {
    let mut inputs = Inputs::new();
    inputs.add("parameters", EXTENSION_OPTIONS.join(" "));
    inputs.add("tree", key(tree, packages, Compression::None));
    inputs.finish()
}

/// Makes the image of an extension.
pub fn make_extension(debian: &PackageTree, tree: &Tree, to: &Path) -> Result<()> {
    let tar = to.with_extension("tar");
    let file = fs::File::create(&tar).with_context(|| format!("write {}", tar.display()))?;
    archive::tar::write(tree, std::io::BufWriter::new(file))?;
    let mut command = tools::command_in(debian, "mkfs.erofs")?;
    command
        .args(EXTENSION_OPTIONS)
        .arg("--tar=f")
        .arg(to)
        .arg(&tar);
    tools::run(&mut command, "mkfs.erofs")?;
    fsutil::remove(&tar)
}

/// Makes an image of `tree` in the file `to`.
pub fn make(debian: &PackageTree, tree: &Tree, compression: Compression, to: &Path) -> Result<()> {
    let tar = to.with_extension("tar");
    let file = fs::File::create(&tar).with_context(|| format!("write {}", tar.display()))?;
    archive::tar::write(tree, std::io::BufWriter::new(file))?;
    let mut command = tools::command_in(debian, "mkfs.erofs")?;
    let list = to.with_extension("hints");
    fs::write(&list, hints()).with_context(|| format!("write {}", list.display()))?;
    command.args(compression.options());
    if compression == Compression::PerFile {
        command.arg("--compress-hints").arg(&list);
    }
    command.arg("--tar=f").arg(to).arg(&tar);
    tools::run(&mut command, "mkfs.erofs")?;
    fsutil::remove(&list)?;
    fsutil::remove(&tar)
}

/// Returns the numbers of entries and of files in a tree.
pub fn count(tree: &Tree) -> (usize, usize) {
    let files = tree
        .iter()
        .filter(|(_, e)| matches!(e.node, Node::File(_)))
        .count();
    (tree.iter().count(), files)
}
