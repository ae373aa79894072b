// SPDX-License-Identifier: Apache-2.0
//! Archives of file trees: tar for mkfs.erofs, cpio for the kernel.

pub mod cpio;
pub mod tar;
