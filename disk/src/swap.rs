//! Swap areas: the header that says what one is (include/linux/swap.h, `union
//! swap_header`; its magic ends the first page).

use crate::bytes::{array, le32, put};
use crate::uuid::Uuid;

/// Bytes of a page, on the processors that we run on.
pub const PAGE: usize = 4096;

/// mkswap(8) makes none that is smaller, in pages.
const LEAST: u64 = 10;
const MAGIC: &[u8; 10] = b"SWAPSPACE2";
/// What the kernel and its helpers put in place of it while a system sleeps in
/// there (kernel/power/swap.c; uswsusp).
const ASLEEP: [&[u8; 10]; 3] = [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0"];

/// What a first page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// A swap area of so many bytes.
    Swap(u64),
    /// A hibernated system, which must not be lost.
    Asleep,
    /// Something else.
    Other,
}

/// Looks at the first page.
#[must_use]
pub fn area(page: &[u8]) -> Area {
    let magic: [u8; 10] = array(page, PAGE - 10);
    if ASLEEP.contains(&&magic) {
        return Area::Asleep;
    }
    let (version, last) = (le32(page, 1024), le32(page, 1028));
    if magic != *MAGIC || version != 1 || last == 0 {
        return Area::Other;
    }
    Area::Swap((u64::from(last) + 1) * PAGE as u64)
}

/// The first page of a swap area of `bytes`; what does not fill a page is left.
/// `None` where that is too small or too large.
#[must_use]
pub fn header(bytes: u64, uuid: &Uuid) -> Option<[u8; PAGE]> {
    let pages = bytes / PAGE as u64;
    let last = u32::try_from(pages.checked_sub(1)?).ok()?;
    if pages < LEAST {
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
    fn what_is_written_is_known_again() {
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
    fn what_is_no_swap_area() {
        let page = header(1 << 20, &[0; 16]).expect("large enough");
        let with = |at: usize, bytes: &[u8]| {
            let mut other = page;
            put(&mut other, at, bytes);
            area(&other)
        };
        assert_eq!(with(PAGE - 10, b"S1SUSPEND\0"), Area::Asleep);
        assert_eq!(with(PAGE - 10, b"ULSUSPEND\0"), Area::Asleep);
        assert_eq!(with(PAGE - 10, b"SWAP-SPACE"), Area::Other);
        assert_eq!(with(1024, &2u32.to_le_bytes()), Area::Other);
        assert_eq!(with(1028, &0u32.to_le_bytes()), Area::Other);
        assert_eq!(area(&[]), Area::Other);
        assert_eq!(area(&page[..PAGE - 1]), Area::Other);
    }
}
