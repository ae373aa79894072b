//! What a medium needs so that a machine boots from it: GRUB for BIOS and for UEFI,
//! and the menu that both show.

pub mod disk;
pub mod grub;
pub mod menu;
pub mod slots;
