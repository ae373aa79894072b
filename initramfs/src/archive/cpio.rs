// SPDX-License-Identifier: Apache-2.0
//! File trees as newc cpio archives, the format that the kernel unpacks into its rootfs
//! (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::Write;

use anyhow::{Context, Result};
use cpio::newc::{self, ModeFileType};

use crate::tree::{Entry, Node, Tree};

/// Alignment of an archive's end in bytes, the same as of cpio(1).
const BLOCK: usize = 512;

/// Writes `tree` to `to`. Inode numbers count from 1 and every time is 0, so that the same tree
/// gives the same bytes.
pub fn write(tree: &Tree, to: impl Write) -> Result<()> {
    tree.check_parents()?;
    let mut out = Counter {
        inner: to,
        written: 0,
    };
    for (ino, (path, entry)) in (1u32..).zip(tree.iter()) {
        append(&mut out, path, entry, ino).with_context(|| format!("cpio: /{path}"))?;
    }
    newc::trailer(&mut out)?;
    let padding = out.written.next_multiple_of(BLOCK) - out.written;
    out.write_all(&vec![0; padding])?;
    out.flush()?;
    Ok(())
}

fn append(out: &mut impl Write, path: &str, entry: &Entry, ino: u32) -> Result<()> {
    let mut header = newc::Builder::new(path)
        .ino(ino)
        .mode(entry.mode)
        .uid(entry.uid)
        .gid(entry.gid)
        .mtime(0);
    let (kind, data) = match &entry.node {
        Node::Dir => (ModeFileType::Directory, Vec::new()),
        Node::File(source) => (ModeFileType::Regular, source.read()?),
        Node::Link(target) => (ModeFileType::Symlink, target.clone().into_bytes()),
        Node::Char(major, minor) => {
            header = header.rdev_major(*major).rdev_minor(*minor);
            (ModeFileType::Char, Vec::new())
        }
    };
    let size = u32::try_from(data.len()).context("a cpio member must stay under 4 GiB")?;
    let mut member = header.set_mode_file_type(kind).write(out, size);
    member.write_all(&data)?;
    member.finish()?;
    Ok(())
}

/// Writer that counts the bytes, which give the length of the archive.
struct Counter<W> {
    inner: W,
    written: usize,
}

impl<W: Write> Write for Counter<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.written += n;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.put("dev/console", Node::Char(5, 1), 0o600);
        tree.bytes("init", "\x7fELF", 0o755);
        tree.link("bin/sh", "busybox");
        tree
    }

    #[test]
    fn whole_blocks_and_the_same_bytes_each_time() -> Result<()> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        write(&sample(), &mut first)?;
        write(&sample(), &mut second)?;
        assert_eq!(first, second);
        assert_eq!(first.len() % BLOCK, 0);
        assert!(first.starts_with(b"070701"));
        Ok(())
    }

    #[test]
    fn cpio_1_reads_the_archive() -> Result<()> {
        let Ok(mut cpio) = Command::new("cpio")
            .args(["-t", "-v", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            eprintln!("skipped: no cpio on this machine");
            return Ok(());
        };
        let mut input = cpio.stdin.take().context("stdin is piped")?;
        write(&sample(), &mut input)?;
        drop(input);
        let listing = String::from_utf8(cpio.wait_with_output()?.stdout)?;
        let lines: Vec<_> = listing.lines().collect();
        assert_eq!(lines.len(), 5, "{listing}");
        assert!(
            listing.contains("crw-------") && listing.contains("bin/sh -> busybox"),
            "{listing}"
        );
        Ok(())
    }
}
