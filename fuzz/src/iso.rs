// SPDX-License-Identifier: Apache-2.0
//! Target `iso`: directories of a disc image that podman-machine takes a kernel from.

use std::io::Cursor;

use machine::store::iso;

use crate::input::is_one_line;

pub(crate) const DICTIONARY: &[&str] = &[
    "\x01CD001",
    "BOOT",
    "boot",
    "VMLINUZ.;1",
    "vmlinuz",
    "initrd.img",
    "\x22",
    "\x02",
    "\x00",
];

/// Bytes of a sector.
const SECTOR: usize = 2048;
/// Sector of the first descriptor, where the input begins; the system area before this sector is
/// not read.
const DESCRIPTOR: usize = 16;

/// - A disc image is recognized by its descriptor alone.
/// - The result is a file at the begin of a sector, the same each time; an error is one line.
/// - A path below a file, and an empty name, lead to nothing.
pub fn iso(data: &[u8]) {
    let disc = [vec![0; DESCRIPTOR * SECTOR], data.to_vec()].concat();
    let find = |path: &str| iso::find(&mut Cursor::new(&disc), path);
    let is = iso::is(&mut Cursor::new(&disc));
    assert_eq!(is, data.starts_with(b"\x01CD001"));
    for path in ["boot/vmlinuz", "boot/initrd.img", "vmlinuz"] {
        match find(path) {
            Ok(extent) => {
                assert!(is && extent.offset.is_multiple_of(2048));
                assert_eq!(find(path).ok(), Some(extent));
                let case = path.to_ascii_uppercase();
                assert_eq!(find(&case).ok(), Some(extent));
                assert!(find(&format!("{path}/x")).is_err());
            }
            Err(why) => assert!(is_one_line(&format!("{why:#}")), "{why:#}"),
        }
    }
    assert!(is || find("boot").is_err());
}
