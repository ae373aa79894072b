// SPDX-License-Identifier: Apache-2.0
//! The initrd: two cpio archives, one after the other.
//!
//! The head has PID 1, its client and the early modules; the second archive has the userland. If the machine has too
//! little memory, the kernel stops unpacking in the middle of the userland, and PID 1 can report the lack of memory.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::archive;
use crate::fetch::PackageTree;
use crate::modules::Modules;
use crate::programs::Programs;
use crate::progress::Step;
use crate::stamp::{self, Inputs};
use crate::tree::{Node, Tree};
use crate::{fsutil, tools};

/// Compression of an archive; the kernel detects the compression of each archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// None: fastest to boot.
    None,
    /// lz4's legacy frame, the only one that the kernel's unpacker reads.
    Lz4,
    /// zstd.
    Zstd,
    /// zstd with a window of 128 MiB, the largest that the kernel's unpacker accepts
    /// (lib/decompress_unzstd.c).
    ZstdLong,
    /// xz with the x86 filter and CRC32, which the kernel's unpacker supports
    /// (Documentation/staging/xz.rst): a tenth smaller than zstd, and six times as long to unpack.
    Xz,
}

impl Packing {
    /// Reads `PACK=`, the compression of the slim kernel's initrd on media.
    ///
    /// # Errors
    /// `PACK=` is neither `zstd` nor `xz`.
    pub fn of_media() -> Result<Self> {
        match std::env::var("PACK").unwrap_or_default().as_str() {
            "" | "zstd" => Ok(Packing::ZstdLong),
            "xz" => Ok(Packing::Xz),
            other => bail!("PACK={other}: it is zstd or xz"),
        }
    }
}

/// Compression of the head in [`Layout::PerFile`]; docs/measured/figures.md has the sizes.
pub const HEAD_PACKING: Packing = Packing::None;

/// Layout of the initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The userland's files are compressed one by one: the kernel copies the image into memory, and
    /// a file is unpacked at a read.
    PerFile,
    /// One compressed stream, which is smaller and which the kernel unpacks before the start of PID
    /// 1.
    Solid(Packing),
}

/// Path of the list of early modules, one file name per line in the order of loading.
const MODULE_ORDER: &str = "modules/order";

/// Parts of the initrd.
pub struct Parts<'a> {
    /// Userland packages, with busybox and the tools.
    pub debian: &'a PackageTree,
    /// Kernel packages.
    pub linux: &'a PackageTree,
    /// Kernel modules.
    pub modules: &'a Modules,
    /// PID 1 and its client.
    pub programs: &'a Programs,
    /// Userland image.
    pub userland: &'a Path,
}

/// Returns the tree of the head.
pub fn head(parts: &Parts) -> Result<Tree> {
    let mut tree = Tree::new();
    for dir in ["dev", "proc", "sys", "run"] {
        tree.dir(dir);
    }
    tree.put("dev/console", Node::Char(5, 1), 0o600);
    // Without a console, Rust's runtime opens /dev/null for descriptors 0 to 2 before main, and
    // aborts if there is no /dev/null.
    tree.put("dev/null", Node::Char(1, 3), 0o666);
    tree.file("init", &parts.programs.init, 0o755);
    tree.file("bin/b2p", &parts.programs.b2p, 0o755);
    tree.file(
        "bin/busybox",
        &parts.debian.root.join("usr/bin/busybox"),
        0o755,
    );
    tree.link("bin/sh", "busybox");
    let mut order = String::new();
    for module in parts.modules.early()? {
        let name = fsutil::file_name(&module)?;
        tree.file(&format!("modules/{name}"), &module, 0o644);
        order += &format!("{name}\n");
    }
    for module in parts.modules.on_demand()? {
        tree.file(
            &format!("modules/{}", fsutil::file_name(&module)?),
            &module,
            0o644,
        );
    }
    tree.bytes(MODULE_ORDER, order, 0o644);
    Ok(tree)
}

/// Makes `initrd` unless it is up to date. Returns true if `initrd` was made.
pub fn make(parts: &Parts, layout: Layout, initrd: &Path) -> Result<bool> {
    let mut inputs = Inputs::new();
    if let Layout::Solid(packing) = layout {
        inputs.add("layout", format!("{packing:?}"));
    }
    inputs
        .add("head", format!("{HEAD_PACKING:?}"))
        .add("modules", &parts.modules.key);
    inputs.add("debian", &parts.debian.key);
    inputs
        .add_file("init", &parts.programs.init)?
        .add_file("b2p", &parts.programs.b2p)?
        .add_file("userland", parts.userland)?;
    stamp::make(initrd, &inputs.finish(), |to| write(parts, layout, to))
}

fn write(parts: &Parts, layout: Layout, to: &Path) -> Result<()> {
    let mut archives = Vec::new();
    archive::cpio::write(&head(parts)?, &mut archives)?;
    let mut tail = Tree::new();
    tail.file("userland.erofs", parts.userland, 0o444);
    if let Layout::Solid(packing) = layout {
        archive::cpio::write(&tail, &mut archives)?;
        Step::new("image", 5, 5).note("initrd: packing it as one stream, which takes two minutes");
        let packed = pack(parts.debian, archives, packing)?;
        return fs::write(to, packed).with_context(|| format!("write {}", to.display()));
    }
    let file = fs::File::create(to).with_context(|| format!("write {}", to.display()))?;
    let mut file = std::io::BufWriter::new(file);
    file.write_all(&pack(parts.debian, archives, HEAD_PACKING)?)?;
    archive::cpio::write(&tail, &mut file)?;
    Ok(file.flush()?)
}

/// Compresses an archive. Compressed output ends with at least four zero bytes, up to a multiple of
/// 512 bytes: the kernel takes an empty chunk for the end of an lz4 stream, and finds the next
/// archive after zeros. Without compression the output is the input.
pub fn pack(debian: &PackageTree, bytes: Vec<u8>, packing: Packing) -> Result<Vec<u8>> {
    let mut packed = match packing {
        Packing::None => return Ok(bytes),
        Packing::Lz4 => filter(debian, &["lz4", "-l", "-12", "-c"], bytes)?,
        Packing::Zstd => filter(debian, &["zstd", "-19", "-q", "-c"], bytes)?,
        Packing::ZstdLong => {
            let command = ["zstd", "--ultra", "-22", "--long=27", "-q", "-c"];
            filter(debian, &command, bytes)?
        }
        Packing::Xz => {
            let lzma = "--lzma2=preset=9e,dict=64MiB";
            let branches = debian.arch.slim.xz_filter;
            filter(
                debian,
                &["xz", "--check=crc32", branches, lzma, "-c"],
                bytes,
            )?
        }
    };
    packed.resize((packed.len() + 4).next_multiple_of(512), 0);
    Ok(packed)
}

/// Pipes bytes through a tool of the package tree.
fn filter(debian: &PackageTree, command: &[&str], bytes: Vec<u8>) -> Result<Vec<u8>> {
    let [name, arguments @ ..] = command else {
        bail!("the command is empty")
    };
    let mut child = tools::command_in(debian, name)?
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let mut input = child.stdin.take().context("the tool's input is piped")?;
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))?;
    let written = writer
        .join()
        .map_err(|_| anyhow::anyhow!("{name}: the writer panicked"))?;
    if !output.status.success() {
        bail!("{name}: {}", output.status);
    }
    written.with_context(|| format!("write to {name}"))?;
    Ok(output.stdout)
}

/// Returns the path of the kernel image in its tree. Debian calls the image of some architectures, such as
/// riscv64, `vmlinux`.
pub fn kernel(linux: &PackageTree, release: &str) -> PathBuf {
    let boot = linux.root.join("boot");
    let compressed = boot.join(format!("vmlinuz-{release}"));
    match compressed.exists() {
        true => compressed,
        false => boot.join(format!("vmlinux-{release}")),
    }
}
