//! A disk that has grown: the partition follows, then the file system, mounted.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use disk::MIB;
use disk::bytes::{SizedFile, array, le32, read_at};
use disk::device::Device;
use disk::disk_op::DiskOp;
use disk::gpt::read;
use disk::signature::SignatureKind;
use log::info;

use super::{format, ioctl, scan};

/// Mends and grows the table that the device is a partition of, where the table is
/// of our making.
///
/// # Errors
/// What failed. The table is the old one or the new one then.
pub fn partition(device: &Device) -> Result<(), String> {
    let Some(name) = &device.parent_disk else {
        return Ok(());
    };
    let size = scan::size(name).unwrap_or(0);
    let say = |e: std::io::Error| format!("/dev/{name}: {e}");
    let file = File::open(scan::node(name)).map_err(say)?;
    let Some(table) = read(&SizedFile { file, size }, scan::sector(name)).map_err(say)? else {
        return Ok(());
    };
    if let Some((writes, partition)) = table.grown(size) {
        let disk = write(name, &writes)?;
        ioctl::resize(&disk, partition.number, partition.first, partition.len).map_err(say)?;
        info!(
            "data: /dev/{name} has grown to {} MiB, and its partition with it",
            size / MIB
        );
    } else if let Some(writes) = table.mended(size) {
        write(name, &writes)?;
        info!(
            "data: /dev/{name}: its broken partition table was restored from the copy at its end"
        );
    }
    Ok(())
}

fn write(name: &str, writes: &[DiskOp]) -> Result<File, String> {
    let disk = format::open(name, 0)?;
    for act in writes {
        match act {
            DiskOp::Write(at, bytes) => disk.write_all_at(bytes, *at),
            DiskOp::Flush => disk.sync_all(),
        }
        .map_err(|e| format!("/dev/{name}: {e}"))?;
    }
    Ok(disk)
}

/// Grows a mounted file system to its device.
///
/// # Errors
/// What failed; it is as large as before then.
pub fn filesystem(path: &Path, kind: SignatureKind, mnt: &Path) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let size = scan::size(&name).unwrap_or(0);
    let file = File::open(path).map_err(say)?;
    let head = read_at(&SizedFile { file, size }, 0, 65536 + 4096).map_err(say)?;
    let Some((blocks, block)) = blocks(kind, &head) else {
        return Ok(());
    };
    let want = size / block;
    // Less than a MiB is left over from the alignment.
    if want.saturating_sub(blocks).saturating_mul(block) < MIB {
        return Ok(());
    }
    let mounted = File::open(mnt).map_err(say)?;
    match kind {
        SignatureKind::Xfs => {
            ioctl::grow_xfs(&mounted, want, head.get(127).copied().unwrap_or(25).into())
        }
        SignatureKind::Btrfs => ioctl::grow_btrfs(&mounted),
        _ => ioctl::grow_ext4(&mounted, want),
    }
    .map_err(|e| format!("{}: grow: {e}", path.display()))?;
    info!(
        "data: {}: grown from {} MiB to {} MiB",
        path.display(),
        blocks * block / MIB,
        size / MIB
    );
    Ok(())
}

/// How many blocks the file system has, and how long one is.
fn blocks(kind: SignatureKind, head: &[u8]) -> Option<(u64, u64)> {
    match kind {
        SignatureKind::Ext4 => {
            let sb = head.get(1024..2048)?;
            let block = 1024u64
                .checked_shl(le32(sb, 0x18))
                .filter(|b| *b <= 65536)?;
            let high = if le32(sb, 0x60) & 0x80 != 0 {
                le32(sb, 0x150)
            } else {
                0
            };
            Some((u64::from(high) << 32 | u64::from(le32(sb, 4)), block))
        }
        SignatureKind::Xfs => {
            let block = u64::from(u32::from_be_bytes(array(head, 4)));
            (block.is_power_of_two()).then(|| (u64::from_be_bytes(array(head, 8)), block))
        }
        SignatureKind::Btrfs => {
            // The device's own item in the superblock: total_bytes after its id.
            let sb = head.get(65536..)?;
            Some((disk::bytes::le64(sb, 0xc9 + 8) / 4096, 4096))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::bytes::put;

    #[test]
    fn sizes_as_the_superblocks_have_them() {
        let mut head = vec![0; 70_000];
        put(&mut head, 1024 + 4, &5000u32.to_le_bytes());
        put(&mut head, 1024 + 0x18, &[2]);
        put(&mut head, 1024 + 0x150, &[1]);
        assert_eq!(blocks(SignatureKind::Ext4, &head), Some((5000, 4096)));
        put(&mut head, 1024 + 0x60, &[0x80]);
        assert_eq!(
            blocks(SignatureKind::Ext4, &head),
            Some(((1 << 32) + 5000, 4096))
        );
        put(&mut head, 1024 + 0x18, &[200]);
        assert_eq!(blocks(SignatureKind::Ext4, &head), None);
        assert_eq!(blocks(SignatureKind::Xfs, &head), None);
        assert_eq!(blocks(SignatureKind::Vfat, &head), None);
    }
}
