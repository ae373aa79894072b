//! The initrd: two cpio archives, one after the other.
//!
//! The head holds what PID 1 needs to speak at all; the userland comes last. When the
//! machine has too little memory the kernel stops unpacking in the middle of the
//! userland, and PID 1 is there to say so.

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
use crate::tools;
use crate::tree::{Node, Tree};

/// How the head is packed; the kernel looks at each archive anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all: nothing to wait for.
    None,
    /// The frame of lz4's early days, the only one the kernel's unpacker knows.
    Lz4,
    /// Smallest, slowest to unpack.
    Zstd,
    /// The same with all that zstd can look back on: 128 MiB, which the kernel's unpacker
    /// takes as well (lib/decompress_unzstd.c).
    ZstdMost,
    /// Smaller by a tenth, and six times as long to unpack. The filter and the check are
    /// what the kernel knows (Documentation/staging/xz.rst).
    Xz,
}

impl Packing {
    /// Reads `PACK=`: how the initrd of a small medium is packed.
    ///
    /// # Errors
    /// What it may be.
    pub fn of_media() -> Result<Self> {
        match std::env::var("PACK").unwrap_or_default().as_str() {
            "" | "zstd" => Ok(Packing::ZstdMost),
            "xz" => Ok(Packing::Xz),
            other => bail!("PACK={other}: it is zstd or xz"),
        }
    }
}

/// How the head is packed where the userland is by itself; docs/measured/figures.md has the sizes.
pub const HEAD: Packing = Packing::None;

/// What the initrd is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// To start fast and to lie in memory: the kernel copies it, and what is read of the
    /// userland is unpacked then.
    PerFile,
    /// To be small on a medium: one stream, which the kernel unpacks before PID 1.
    Solid(Packing),
}

/// Where the early modules are listed, one file name per line in the order of loading.
const ORDER: &str = "modules/order";

/// What goes into the initrd.
pub struct Parts<'a> {
    /// For the tools and busybox.
    pub debian: &'a PackageTree,
    /// The kernel's packages.
    pub linux: &'a PackageTree,
    /// For the early ones.
    pub modules: &'a Modules,
    /// PID 1 and its client.
    pub programs: &'a Programs,
    /// The userland image.
    pub userland: &'a Path,
}

/// The head's tree.
pub fn head(parts: &Parts) -> Result<Tree> {
    let mut tree = Tree::new();
    for dir in ["dev", "proc", "sys", "run"] {
        tree.dir(dir);
    }
    tree.put("dev/console", Node::Char(5, 1), 0o600);
    // Where there is no console, Rust's runtime opens this for descriptors 0 to
    // 2 before main, and aborts without it.
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
        let name = file_name(&module)?;
        tree.file(&format!("modules/{name}"), &module, 0o644);
        order += &format!("{name}\n");
    }
    for module in parts.modules.by_name()? {
        tree.file(&format!("modules/{}", file_name(&module)?), &module, 0o644);
    }
    tree.bytes(ORDER, order, 0o644);
    Ok(tree)
}

fn file_name(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Makes `initrd`, unless it is current.
pub fn make(parts: &Parts, layout: Layout, initrd: &Path) -> Result<bool> {
    let mut inputs = Inputs::new();
    if let Layout::Solid(packing) = layout {
        inputs.add("layout", format!("{packing:?}"));
    }
    inputs
        .add("head", format!("{HEAD:?}"))
        .add("modules", &parts.modules.key);
    inputs.add("debian", &parts.debian.key);
    inputs
        .add_file("init", &parts.programs.init)?
        .add_file("b2p", &parts.programs.b2p)?
        .add_file("userland", parts.userland)?;
    stamp::make(initrd, &inputs.finish(), |to| write(parts, layout, to))
}

fn write(parts: &Parts, layout: Layout, to: &Path) -> Result<()> {
    let mut head_bytes = Vec::new();
    archive::cpio::write(&head(parts)?, &mut head_bytes)?;
    let mut tail = Tree::new();
    tail.file("userland.erofs", parts.userland, 0o444);
    if let Layout::Solid(packing) = layout {
        archive::cpio::write(&tail, &mut head_bytes)?;
        Step::new("image", 5, 5).note("initrd: packing it as one stream, which takes two minutes");
        let packed = pack(parts.debian, head_bytes, packing)?;
        return fs::write(to, packed).with_context(|| format!("write {}", to.display()));
    }
    let file = fs::File::create(to).with_context(|| format!("write {}", to.display()))?;
    let mut file = std::io::BufWriter::new(file);
    file.write_all(&pack(parts.debian, head_bytes, HEAD)?)?;
    archive::cpio::write(&tail, &mut file)?;
    Ok(file.flush()?)
}

/// Packs an archive. Zeros follow it up to a 512-byte border, four at the least: the
/// kernel takes an empty chunk for the end of an lz4 stream, and finds the next archive
/// after zeros.
pub fn pack(debian: &PackageTree, bytes: Vec<u8>, packing: Packing) -> Result<Vec<u8>> {
    let mut packed = match packing {
        Packing::None => return Ok(bytes),
        Packing::Lz4 => filter(debian, &["lz4", "-l", "-12", "-c"], bytes)?,
        Packing::Zstd => filter(debian, &["zstd", "-19", "-q", "-c"], bytes)?,
        Packing::ZstdMost => {
            let command = ["zstd", "--ultra", "-22", "--long=27", "-q", "-c"];
            filter(debian, &command, bytes)?
        }
        Packing::Xz => {
            let lzma = "--lzma2=preset=9e,dict=64MiB";
            filter(debian, &["xz", "--check=crc32", "--x86", lzma, "-c"], bytes)?
        }
    };
    packed.resize((packed.len() + 4).next_multiple_of(512), 0);
    Ok(packed)
}

/// Sends bytes through a tool.
fn filter(debian: &PackageTree, command: &[&str], bytes: Vec<u8>) -> Result<Vec<u8>> {
    let [name, arguments @ ..] = command else {
        bail!("no tool is named")
    };
    let mut child = tools::command_in(debian, name)?
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let mut input = child.stdin.take().context("the tool's input is piped")?;
    let feeder = std::thread::spawn(move || input.write_all(&bytes));
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))?;
    let fed = feeder
        .join()
        .map_err(|_| anyhow::anyhow!("{name}: feeding it panicked"))?;
    if !output.status.success() {
        bail!("{name}: {}", output.status);
    }
    fed.with_context(|| format!("write to {name}"))?;
    Ok(output.stdout)
}

/// Where the kernel image of the tree is.
pub fn kernel(linux: &PackageTree, release: &str) -> PathBuf {
    linux.root.join(format!("boot/vmlinuz-{release}"))
}
