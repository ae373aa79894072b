// SPDX-License-Identifier: Apache-2.0
//! Header of swap areas (include/linux/swap.h, `union swap_header`; its magic bytes end the first
//! page).

use crate::bytes::{array, le32, put};
use crate::uuid::Uuid;

/// Size of a page in bytes, on the supported processors.
pub const PAGE: usize = 4096;

/// Minimum size of a swap area in pages, as in mkswap(8).
const MIN_PAGES: u64 = 10;
const MAGIC: &[u8; 10] = b"SWAPSPACE2";
/// Magic bytes of an area that holds a hibernated system (kernel/power/swap.c; uswsusp).
const HIBERNATED_MAGIC: [&[u8; 10]; 3] = [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0"];

/// Contents of a device according to its first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Swap area of this size in bytes.
    Swap(u64),
    /// Hibernated system, which must not be overwritten.
    Hibernated,
    /// Other contents.
    Other,
}

/// Determines the contents from the first page.
#[must_use]
pub fn area(page: &[u8]) -> Area {
    let magic: [u8; 10] = array(page, PAGE - 10);
    if HIBERNATED_MAGIC.contains(&&magic) {
        return Area::Hibernated;
    }
    let (version, last) = (le32(page, 1024), le32(page, 1028));
    if magic != *MAGIC || version != 1 || last == 0 {
        return Area::Other;
    }
    Area::Swap((u64::from(last) + 1) * PAGE as u64)
}

/// Returns the first page of a swap area of `bytes`, rounded down to pages; `None` if the size is
/// too small or too large.
#[must_use]
pub fn header(bytes: u64, uuid: &Uuid) -> Option<[u8; PAGE]> {
    let pages = bytes / PAGE as u64;
    let last = u32::try_from(pages.checked_sub(1)?).ok()?;
    if pages < MIN_PAGES {
        return None;
    }
    let mut page = [0; PAGE];
    put(&mut page, 1024, &1u32.to_le_bytes());
    put(&mut page, 1028, &last.to_le_bytes());
    put(&mut page, 1036, uuid);
    put(&mut page, PAGE - 10, MAGIC);
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::probe;
    use crate::signature::SignatureKind;

    #[test]
    fn a_header_is_recognized() {
        let uuid: Uuid = std::array::from_fn(|n| n as u8 + 1);
        let page = header((64 << 20) + 100, &uuid).expect("large enough");
        assert_eq!(area(&page), Area::Swap(64 << 20));
        let found = probe(&page.to_vec()).expect("bytes can be read");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, SignatureKind::Swap);
        assert_eq!(found[0].uuid, Some(crate::uuid::text(&uuid)));
    }

    #[test]
    fn sizes_have_limits() {
        let page = PAGE as u64;
        for (bytes, fits) in [
            (0, false),
            (page - 1, false),
            (10 * page - 1, false),
            (10 * page, true),
            (page << 32, true),
            (page * ((1 << 32) + 1), false),
            (u64::MAX, false),
        ] {
            assert_eq!(header(bytes, &[0; 16]).is_some(), fits, "{bytes}");
        }
    }

    #[test]
    fn other_pages_are_no_swap_area() {
        let page = header(1 << 20, &[0; 16]).expect("large enough");
        let with = |at: usize, bytes: &[u8]| {
            let mut other = page;
            put(&mut other, at, bytes);
            area(&other)
        };
        assert_eq!(with(PAGE - 10, b"S1SUSPEND\0"), Area::Hibernated);
        assert_eq!(with(PAGE - 10, b"ULSUSPEND\0"), Area::Hibernated);
        assert_eq!(with(PAGE - 10, b"SWAP-SPACE"), Area::Other);
        assert_eq!(with(1024, &2u32.to_le_bytes()), Area::Other);
        assert_eq!(with(1028, &0u32.to_le_bytes()), Area::Other);
        assert_eq!(area(&[]), Area::Other);
        assert_eq!(area(&page[..PAGE - 1]), Area::Other);
    }
}
