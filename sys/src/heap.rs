// SPDX-License-Identifier: Apache-2.0
//! Groups of slots that the C library's allocator keeps.

use std::hint::black_box;

/// Sizes in bytes of the classes of slots that a restart of a service uses for a moment. The other classes would cost
/// more memory, and gain nothing there.
const SIZES: &[usize] = &[2000, 4000, 8000];

/// Keeps a group of slots of each of [`SIZES`]. musl unmaps a group when its last slot is freed
/// (src/malloc/mallocng/free.c, `free_group`), so that a program that needs one buffer at a time maps and unmaps a group
/// for each. A slot that is never freed keeps its group. Without memory, nothing is kept.
pub fn keep_groups() {
    for size in SIZES {
        let mut slot: Vec<u8> = Vec::new();
        if slot.try_reserve_exact(*size).is_ok() {
            black_box(slot.leak());
        }
    }
}
