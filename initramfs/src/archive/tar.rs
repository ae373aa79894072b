// SPDX-License-Identifier: Apache-2.0
//! File trees as tar archives for `mkfs.erofs --tar`: the image gets its owners and setuid bits
//! although the build needs no root.

use std::io::Write;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use crate::tree::{Entry, Node, Tree};

/// Writes `tree` to `to`. The same tree gives the same bytes.
pub fn write(tree: &Tree, to: impl Write) -> Result<()> {
    tree.check_parents()?;
    let mut archive = Builder::new(to);
    let root = Entry {
        node: Node::Dir,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    append(&mut archive, ".", &root)?;
    for (path, entry) in tree.iter() {
        append(&mut archive, path, entry).with_context(|| format!("tar: /{path}"))?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn append(archive: &mut Builder<impl Write>, path: &str, entry: &Entry) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(0);
    header.set_size(0);
    match &entry.node {
        Node::Dir => {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Node::File(source) => {
            let bytes = source.read()?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, bytes.as_slice())?;
        }
        Node::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, target)?;
        }
        Node::Char(major, minor) => {
            header.set_entry_type(EntryType::Char);
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            archive.append_data(&mut header, path, std::io::empty())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_mode_and_kind_survive() -> Result<()> {
        let mut tree = Tree::new();
        tree.bytes("usr/bin/sudo", "#!", 0o755);
        tree.set_mode_and_owner("usr/bin/sudo", 0o4755, 0, 7)?;
        tree.link("bin", "usr/bin");
        let mut bytes = Vec::new();
        write(&tree, &mut bytes)?;
        let mut again = Vec::new();
        write(&tree, &mut again)?;
        assert_eq!(bytes, again);
        let mut seen = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries()? {
            let entry = entry?;
            let header = entry.header();
            seen.push((
                entry.path()?.to_string_lossy().into_owned(),
                header.mode()?,
                header.gid()?,
                header.entry_type().as_byte(),
            ));
        }
        let expected = [
            (".", 0o755, 0, b'5'),
            ("bin", 0o777, 0, b'2'),
            ("usr", 0o755, 0, b'5'),
            ("usr/bin", 0o755, 0, b'5'),
            ("usr/bin/sudo", 0o4755, 7, b'0'),
        ];
        let trim = |s: &str| {
            if s == "./" {
                ".".into()
            } else {
                s.trim_end_matches('/').to_string()
            }
        };
        let seen: Vec<_> = seen
            .iter()
            .map(|(p, m, g, t)| (trim(p), *m, *g, *t))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(p, m, g, t)| (p.to_string(), *m, *g as u64, *t))
            .collect();
        assert_eq!(seen, expected);
        Ok(())
    }
}
