// SPDX-License-Identifier: Apache-2.0
//! Boot loaders of a medium: GRUB for BIOS and for UEFI, and the menu that both show.

pub mod disk;
pub mod grub;
pub mod menu;
pub mod slots;
