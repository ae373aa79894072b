// SPDX-License-Identifier: Apache-2.0
//! Device trees as blobs: a tree of QEMU without some of its nodes, for a machine with fewer devices than QEMU's
//! board always has (Devicetree Specification 0.4, chapter 5).

use crate::disks::tool;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// First word of a blob.
const MAGIC: u32 = 0xd00d_feed;
// Offsets in the header of the size of the blob, of the offsets of its last blocks, and of the size of the very last.
const SIZE: usize = 4;
const STRUCT_OFFSET: usize = 8;
const STRINGS_OFFSET: usize = 12;
const STRINGS_SIZE: usize = 32;
/// Token that begins a node; its name follows.
const BEGIN_NODE: u32 = 1;
/// Token that ends a node.
const END_NODE: u32 = 2;
/// Token of a property; the length of its value, the offset of its name and the value follow.
const PROP: u32 = 3;
/// Token without a meaning.
const NOP: u32 = 4;

/// Returns the tree of QEMU's `virt` without the nodes whose names begin so, as a file in `dir`. `arguments` select
/// processors and memory, which the tree describes.
pub fn virt_without(dir: &Path, arguments: &[&str], nodes: &[&str]) -> Result<PathBuf> {
    let file = dir.join("machine.dtb");
    let board = format!("virt,gic-version=3,dumpdtb={}", file.display());
    let all = [&["-display", "none", "-M", &board][..], arguments].concat();
    tool("qemu-system-aarch64", &all)?;
    let mut blob = fs::read(&file)?;
    remove(&mut blob, nodes)?;
    cut(&mut blob)?;
    fs::write(&file, blob)?;
    Ok(file)
}

/// Cuts off the free space behind the strings: QEMU doubles it at each start, and the kernel refuses a tree of more than 2 MiB
/// (arch/arm64/include/asm/boot.h, MAX_FDT_SIZE).
fn cut(blob: &mut Vec<u8>) -> Result<()> {
    let end = word(blob, STRINGS_OFFSET)? + word(blob, STRINGS_SIZE)?;
    blob.truncate(end as usize);
    let size = blob.get_mut(SIZE..SIZE + 4).context("no header")?;
    size.copy_from_slice(&end.to_be_bytes());
    Ok(())
}

/// Overwrites the nodes whose names begin so, with all that they contain.
fn remove(blob: &mut [u8], nodes: &[&str]) -> Result<()> {
    ensure!(word(blob, 0)? == MAGIC, "not a device tree");
    let mut at = word(blob, STRUCT_OFFSET)? as usize;
    let (mut depth, mut removed) = (0, None);
    loop {
        let (token, end) = token(blob, at)?;
        match token {
            BEGIN_NODE => {
                let name = blob.get(at + 4..end).unwrap_or_default();
                let is_named = nodes.iter().any(|node| name.starts_with(node.as_bytes()));
                depth += 1;
                removed = removed.or(is_named.then_some(depth));
            }
            END_NODE => depth -= 1,
            PROP | NOP => {}
            _ => return Ok(()),
        }
        if removed.is_some() {
            let words = blob.get_mut(at..end).context("the tree is cut off")?;
            words.as_chunks_mut().0.fill(NOP.to_be_bytes());
        }
        removed = removed.filter(|at_depth| depth >= *at_depth);
        at = end;
    }
}

/// Returns the token at this offset, and the offset of the next one.
fn token(blob: &[u8], at: usize) -> Result<(u32, usize)> {
    let token = word(blob, at)?;
    let len = match token {
        BEGIN_NODE => {
            let name = blob.get(at + 4..).unwrap_or_default();
            name.iter().position(|b| *b == 0).context("a name")? + 1
        }
        PROP => 8 + word(blob, at + 4)? as usize,
        _ => 0,
    };
    Ok((token, at + 4 + len.next_multiple_of(4)))
}

fn word(blob: &[u8], at: usize) -> Result<u32> {
    let bytes = blob.get(at..at + 4).context("the tree is cut off")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_node_removes_only_its_children() -> Result<()> {
        let name = |name: &[u8]| {
            let mut padded = name.to_vec();
            padded.resize((name.len() + 1).next_multiple_of(4), 0);
            [&BEGIN_NODE.to_be_bytes()[..], &padded].concat()
        };
        let end = END_NODE.to_be_bytes().to_vec();
        let prop = [PROP, 2, 0, 0xffff_0000].map(u32::to_be_bytes).concat();
        let uart = [
            name(b"pl011@9000"),
            prop.clone(),
            name(b"child"),
            end.clone(),
            end.clone(),
        ];
        let rest = [name(b"rtc"), prop, end.clone(), end];
        let header = [MAGIC, 0, 12].map(u32::to_be_bytes).concat();
        let last = 9u32.to_be_bytes().to_vec();
        let (head, uart) = ([header, name(b"")].concat(), uart.concat());
        let rest = [rest.concat(), last].concat();
        let mut blob = [&head[..], &uart, &rest].concat();
        let nops = NOP.to_be_bytes().repeat(uart.len() / 4);
        remove(&mut blob, &["pl011@", "fw-cfg@"])?;
        assert_eq!(blob, [head, nops, rest].concat());
        let mut padded = [
            &[0; 12][..],
            &44u32.to_be_bytes(),
            &[0; 16],
            &4u32.to_be_bytes(),
            &[0; 99],
        ]
        .concat();
        cut(&mut padded)?;
        assert_eq!((padded.len(), word(&padded, SIZE)?), (48, 48));
        assert!(remove(&mut blob[..20], &[]).is_err() && remove(&mut [0; 12], &[]).is_err());
        Ok(())
    }
}
