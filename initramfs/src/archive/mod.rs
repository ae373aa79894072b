//! Trees into archives: tar for mkfs.erofs, cpio for the kernel.

pub mod cpio;
pub mod tar;
