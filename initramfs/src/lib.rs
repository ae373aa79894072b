//! The host side of boot2podman: Debian packages in, a kernel and an initrd out,
//! and the QEMU runner that boots them.
//!
//! Read [`image`] first: it is the list of the stages, and each stage is one module.
//! What goes into the machine is data, in three tables: [`packages`], [`userland`]
//! and [`modules`], plus the tree of plain files under `initramfs/files/`.

pub mod applets;
pub mod archive;
pub mod artifact;
pub mod bom;
pub mod boot;
pub mod cargo_tool;
pub mod deny;
pub mod disk;
pub mod elf;
pub mod erofs;
pub mod ext;
pub mod fetch;
pub mod fsutil;
pub mod host;
pub mod image;
pub mod initrd;
pub mod iso;
pub mod kernel;
pub mod ldcache;
pub mod manifest;
pub mod media;
mod mmdebstrap;
pub mod modules;
pub mod nextest;
pub mod oci;
pub mod options;
pub mod overlay;
pub mod package_metadata;
pub mod packages;
pub mod paths;
pub mod programs;
pub mod progress;
pub mod reproducible;
pub mod run;
mod sandbox;
pub mod size;
pub mod stamp;
pub mod sums;
pub mod tools;
pub mod tree;
pub mod userland;
