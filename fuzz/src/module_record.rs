// SPDX-License-Identifier: Apache-2.0
//! Target `module_record`: a kernel module in the form of the image, with the record of its
//! original bytes.

use sys::modules::restore::{MAGIC, RELOCATION, restore};

use crate::input::split_array;

pub(crate) const DICTIONARY: &[&str] = &[
    "b2p-mod\n",
    "\x0f\x1f\x44\x00\x00",
    "\x00\x00\x00\x00\x00\x00\x00\x00",
    "\x05\x00\x00\x00\x00\x00\x00\x00",
    "\x01",
    "\x7f",
    "~Module signature appended~\n",
];

/// Parts: the module, the changes of its record.
///
/// - A file without a record is not changed.
/// - A file that is restored is shorter by the record and by nothing else, and differs from the
///   file before in no more than the record names.
pub fn module_record(data: &[u8]) {
    check(data, None);
    let [module, changes] = split_array(data);
    let (module, changes) = (module.unwrap_or(&[]), changes.unwrap_or(&[]));
    let length = (changes.len() as u32).to_le_bytes();
    check(
        &[module, changes, &length, MAGIC].concat(),
        Some(changes.len()),
    );
}

fn check(data: &[u8], changes: Option<usize>) {
    let mut file = data.to_vec();
    let restored = restore(&mut file).is_ok();
    if !data.ends_with(MAGIC) {
        assert!(restored && file == data);
        return;
    }
    if restored {
        let record = data.len() - file.len();
        assert!(record >= MAGIC.len() + size_of::<u32>());
        if let Some(changes) = changes {
            assert_eq!(record, changes + MAGIC.len() + size_of::<u32>());
            let differ = file.iter().zip(data).filter(|(a, b)| a != b).count();
            assert!(differ <= 8 + changes * RELOCATION);
        }
    }
}
