// SPDX-License-Identifier: Apache-2.0
//! Disks that must be unchanged to the last bit.

use super::make::{Fs, Layout, disk, ours, sfdisk};
use super::{Image, MIB, tool, tool_out, userdata};
use crate::Random;
use anyhow::{Result, ensure};
use std::path::Path;

/// A disk that the machine refuses.
pub struct Row {
    /// Name of the disk in messages.
    pub name: &'static str,
    /// Makes the disk.
    pub make: fn(&Path, &str) -> Result<Image>,
    /// Type that blkid(8) reports, if any: a disk whose content does not fit its name would prove
    /// nothing.
    pub blkid: &'static str,
    /// Text that the machine logs about the disk.
    pub said: &'static str,
    /// True if the disk carries a request that is refused, so that the line is a degraded one.
    pub loud: bool,
}

/// A disk without a request, which the machine only logs.
const fn quiet(
    name: &'static str,
    make: fn(&Path, &str) -> Result<Image>,
    blkid: &'static str,
    said: &'static str,
) -> Row {
    Row {
        name,
        make,
        blkid,
        said,
        loud: false,
    }
}

/// A disk with a request that must be refused.
const fn loud(
    name: &'static str,
    make: fn(&Path, &str) -> Result<Image>,
    blkid: &'static str,
    said: &'static str,
) -> Row {
    Row {
        name,
        make,
        blkid,
        said,
        loud: true,
    }
}

/// Every disk that must be refused.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // Content without any known signature.
    quiet("random",       |d, n| bytes(d, n, &[(0, Random::new(4).bytes(1 << 20))]), "", "nothing on it is known"),
    quiet("one-byte",     |d, n| bytes(d, n, &[(7 * MIB + 5, vec![1])]), "", "nothing on it is known"),
    quiet("blank",        |d, n| bytes(d, n, &[]), "", "does not ask"),
    quiet("words-late",   |d, n| bytes(d, n, &[(512, userdata::OURS.into())]), "", "nothing on it is known"),
    quiet("words-spaced", |d, n| bytes(d, n, &[(1, userdata::OURS.into())]), "", "nothing on it is known"),
    // Disks of other systems.
    quiet("windows",      windows, "dos", "it holds dos"),
    quiet("ntfs",         |d, n| bytes(d, n, &[(0, ntfs())]), "", "it holds ntfs"),
    quiet("fat",          |d, n| disk(d, n, Layout::Whole, Fs::Fat, "STICK"), "vfat", "it holds vfat"),
    quiet("ext4",         |d, n| disk(d, n, Layout::Whole, Fs::Ext4, "photos"), "ext4", "it holds ext4"),
    quiet("gpt-ext4",     |d, n| disk(d, n, Layout::Gpt, Fs::Ext4, ""), "gpt", "it holds gpt"),
    quiet("mbr-over-ours", mbr_over_ours, "dos", "it holds gpt and dos"),
    quiet("fat-over-ours", fat_over_ours, "vfat", "it holds vfat and gpt"),
    quiet("lvm",          |d, n| bytes(d, n, &[(512, lvm())]), "LVM2_member", "it holds LVM2_member"),
    quiet("luks",         luks, "crypto_LUKS", "it holds crypto_LUKS"),
    quiet("raid-1.2",     |d, n| bytes(d, n, &[(4096, raid(8))]), "linux_raid_member", "it holds raid_member"),
    quiet("raid-1.0",     |d, n| bytes(d, n, &[(RAID_END, raid(RAID_END / 512))]), "linux_raid_member", "it holds raid_member"),
    quiet("swap",         swap, "swap", "it holds swap"),
    quiet("iso9660",      |d, n| bytes(d, n, &[(32768, iso())]), "iso9660", "it holds iso9660"),
    quiet("zfs",          |d, n| bytes(d, n, &[(128 << 10, uberblock())]), "", "it holds zfs_member"),
    quiet("bcachefs",     |d, n| bytes(d, n, &[(4096, bcachefs())]), "", "it holds bcachefs"),
    // File systems that carry the data disk's label and cannot be used.
    loud("fat-label",     |d, n| disk(d, n, Layout::Whole, Fs::Fat, "b2p-data"), "vfat", "it holds vfat, which cannot keep containers"),
    loud("half-a-mirror", mirror, "", "it looks like ext4 and raid_member at once"),
    // Requests with something behind them.
    loud("asks-ext4",     |d, n| asking(disk(d, n, Layout::Whole, Fs::Ext4, "")?, userdata::OURS.as_bytes()), "ext4", "there is ext4 on it"),
    loud("asks-btrfs",    |d, n| asking(disk(d, n, Layout::Whole, Fs::Btrfs, "")?, &userdata::archive(userdata::DOCKERS, &[])?), "btrfs", "there is btrfs on it"),
    loud("asks-gpt",      |d, n| asking(disk(d, n, Layout::Gpt, Fs::Ext4, "")?, &sector()), "", "there is gpt on it"),
    loud("asks-raid",     |d, n| bytes(d, n, &[(0, userdata::OURS.into()), (RAID_END, raid(RAID_END / 512))]), "linux_raid_member", "there is raid_member on it"),
    // Requests whose archive is broken.
    loud("tar-torn",      |d, n| bytes(d, n, &[(0, torn()?)]), "", "its userdata.tar is broken"),
    loud("tar-cut",       |d, n| bytes(d, n, &[(0, cut()?)]), "", "its userdata.tar is broken"),
    loud("tar-climbs",    |d, n| bytes(d, n, &[(0, userdata::with_name("../../etc/passwd")?)]), "", "a path with `..`"),
    loud("tar-absolute",  |d, n| bytes(d, n, &[(0, userdata::with_name("/etc/passwd")?)]), "", "an absolute path"),
    loud("tar-link",      |d, n| bytes(d, n, &[(0, userdata::with_link()?)]), "", "a link"),
    loud("tar-large",     |d, n| bytes(d, n, &[(0, userdata::with_bulk(2 << 20)?)]), "", "a file longer than 1 MiB"),
    loud("words-and-more", |d, n| bytes(d, n, &[(0, format!("{}, or else", userdata::OURS).into())]), "", "its userdata.tar is broken"),
];

/// Size in MiB of the disks that are made of bytes.
const SIZE: u64 = 32;

/// Makes a disk of [`SIZE`] MiB with these bytes at these offsets.
pub fn bytes(dir: &Path, name: &str, parts: &[(u64, Vec<u8>)]) -> Result<Image> {
    let image = Image::blank(dir, name, SIZE)?;
    for (at, bytes) in parts {
        image.write(*at, bytes)?;
    }
    Ok(image)
}

/// Writes `front` over the start of a disk.
fn asking(image: Image, front: &[u8]) -> Result<Image> {
    image.write(0, front)?;
    Ok(image)
}

/// Returns a sector that holds only the format request.
fn sector() -> Vec<u8> {
    let mut sector = userdata::OURS.as_bytes().to_vec();
    sector.resize(512, 0);
    sector
}

/// Makes a data disk of this system over whose start another image was written: the copy of the old
/// partition table is at the end, and the old file system behind the image.
fn over_ours(dir: &Path, name: &str, other: &Image) -> Result<Image> {
    let image = ours(dir, name)?;
    image.write(0, &other.read(0, 1 << 20)?)?;
    std::fs::remove_file(other.file())?;
    Ok(image)
}

fn mbr_over_ours(dir: &Path, name: &str) -> Result<Image> {
    let other = Image::blank(dir, &format!("{name}.other"), 1)?;
    sfdisk(&other, "label: dos\nstart=64, size=1024, type=83\n")?;
    over_ours(dir, name, &other)
}

fn fat_over_ours(dir: &Path, name: &str) -> Result<Image> {
    let other = disk(
        dir,
        &format!("{name}.other"),
        Layout::Whole,
        Fs::Fat,
        "STICK",
    )?;
    over_ours(dir, name, &other)
}

fn windows(dir: &Path, name: &str) -> Result<Image> {
    let image = Image::blank(dir, name, SIZE)?;
    sfdisk(&image, "label: dos\nstart=2048, type=7, bootable\n")?;
    image.write(MIB, &ntfs())?;
    Ok(image)
}

/// Returns the boot sector of NTFS alone (BIOS parameter block, then NTFS's own).
fn ntfs() -> Vec<u8> {
    let mut sector = vec![0; 512];
    put(&mut sector, 0, b"\xeb\x52\x90NTFS    ");
    put(&mut sector, 11, &[0, 2, 8]); // bytes in a sector, sectors in a cluster
    put(&mut sector, 21, &[0xf8]);
    put(&mut sector, 0x28, &0xefff_u64.to_le_bytes()); // sectors
    put(&mut sector, 0x30, &4u64.to_le_bytes()); // the table of files
    put(&mut sector, 0x38, &8u64.to_le_bytes()); // its mirror
    put(&mut sector, 0x40, &[0xf6, 0, 0, 0, 1]);
    put(&mut sector, 0x48, &0x1234_5678_9abc_def0_u64.to_le_bytes());
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

/// Returns an LVM2 label (lib/format_text/layout.h): its checksum starts with a fixed number and
/// covers the bytes after it.
fn lvm() -> Vec<u8> {
    let mut sector = vec![0; 512];
    put(&mut sector, 0, b"LABELONE");
    put(&mut sector, 8, &1u64.to_le_bytes());
    put(&mut sector, 20, &32u32.to_le_bytes());
    put(&mut sector, 24, b"LVM2 001");
    put(&mut sector, 32, b"abcdefghijklmnopqrstuvwxyz012345");
    put(&mut sector, 64, &(SIZE * MIB).to_le_bytes());
    let sum = sector[20..].iter().fold(0xf597_a6cf_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    put(&mut sector, 16, &sum.to_le_bytes());
    sector
}

/// Offset of a superblock of version 1.0 on a disk of [`SIZE`] MiB.
const RAID_END: u64 = SIZE * MIB - 8192;

/// Returns a version 1 superblock (Documentation/admin-guide/md.rst, md_p.h) of a mirror, located
/// at `sector`.
fn raid(sector: u64) -> Vec<u8> {
    let mut sb = vec![0; 1024];
    put(&mut sb, 0, &0xa92b_4efc_u32.to_le_bytes());
    put(&mut sb, 4, &[1]);
    put(&mut sb, 16, &[7; 16]);
    put(&mut sb, 32, b"host:0");
    put(&mut sb, 72, &[1]); // RAID 1
    put(&mut sb, 92, &[2]); // of two
    put(&mut sb, 144, &sector.to_le_bytes());
    put(&mut sb, 220, &[2]); // roles
    let (words, _) = sb[..260].as_chunks::<4>();
    let words = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)));
    let sum: u64 = words.sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    put(&mut sb, 216, &(sum as u32).to_le_bytes());
    sb
}

/// Makes half of a mirror; its superblock is at the end, so that the start shows the mirror's
/// content.
fn mirror(dir: &Path, name: &str) -> Result<Image> {
    let image = disk(dir, name, Layout::Whole, Fs::Ext4, "boot2podman-data")?;
    image.grow(SIZE * 2 + 1)?;
    let at = image.size()? - 8192;
    image.write(at, &raid(at / 512))?;
    Ok(image)
}

fn luks(dir: &Path, name: &str) -> Result<Image> {
    let image = Image::blank(dir, name, SIZE)?;
    let words =
        "-q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file -";
    let mut args: Vec<_> = words.split(' ').map(std::ffi::OsStr::new).collect();
    args.push(image.file().as_os_str());
    let out = tool_out("cryptsetup", &args, b"secret")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "cryptsetup: {said}");
    Ok(image)
}

fn swap(dir: &Path, name: &str) -> Result<Image> {
    let image = Image::blank(dir, name, SIZE)?;
    tool("mkswap", &["-q".as_ref(), image.file().as_os_str()])?;
    Ok(image)
}

/// Returns a primary volume descriptor and the terminator (ECMA-119, section 8).
fn iso() -> Vec<u8> {
    let mut all = vec![0; 4096];
    put(&mut all, 0, b"\x01CD001\x01\0");
    put(&mut all, 40, b"b2d-v1                          ");
    put(&mut all, 2048, b"\xffCD001\x01");
    all
}

/// Returns the uberblocks of a ZFS pool (vdev labels, uberblock_impl.h).
fn uberblock() -> Vec<u8> {
    let mut ring = vec![0; 128 << 10];
    for slot in 0..16 {
        put(&mut ring, slot * 1024, &0x00ba_b10c_u64.to_le_bytes());
        put(&mut ring, slot * 1024 + 8, &5000u64.to_le_bytes());
    }
    ring
}

/// Returns the magic of a bcachefs superblock (fs/bcachefs/bcachefs_format.h).
fn bcachefs() -> Vec<u8> {
    let mut sb = vec![0; 512];
    let uuid = [
        0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7,
        0xef,
    ];
    put(&mut sb, 24, &uuid);
    sb
}

fn torn() -> Result<Vec<u8>> {
    let mut tar = userdata::with_key(userdata::OURS, "ssh-ed25519 AAAA")?;
    tar[1024 + 100] ^= 1; // in the header of the second entry
    Ok(tar)
}

/// Returns the start of an archive, then zeros in the middle of a header.
fn cut() -> Result<Vec<u8>> {
    let tar = userdata::with_bulk(50_000)?;
    Ok(tar[..1536 + 200].to_vec())
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Checks the table itself: the content of each disk fits its name.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkid_sees_the_type_that_each_row_names() -> Result<()> {
        let dir = super::super::dir("rows-refused")?;
        let mut wrong = Vec::new();
        for row in ROWS {
            let image = (row.make)(&dir, row.name)?;
            let words = ["-p", "-o", "export"].map(std::ffi::OsStr::new);
            let args = [&words[..], &[image.file().as_os_str()]].concat();
            let out = tool_out("blkid", &args, b"")?;
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            let hit = |key: &str| said.lines().any(|l| l == format!("{key}={}", row.blkid));
            if !(row.blkid.is_empty() || hit("TYPE") || hit("PTTYPE")) {
                wrong.push(format!("{}: blkid says {said}", row.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(std::fs::remove_dir_all(dir)?)
    }
}
