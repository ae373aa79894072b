// SPDX-License-Identifier: Apache-2.0
//! Builder of boot2podman's images: kernel, initrd, ISO, disk, OCI archives and extensions, from
//! Debian packages.
//!
//! [`image`] is the list of the stages, and each stage is one module. Three tables determine the
//! content of the machine: [`packages`], [`userland`] and [`modules`], with the plain files under
//! `initramfs/files/`.

pub mod apparmor;
pub mod applets;
pub mod arch;
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
pub mod install;
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
pub mod python;
pub mod reproducible;
pub mod run;
pub mod sandbox;
pub mod seccomp;
pub mod size;
pub mod stamp;
pub mod sums;
pub mod tools;
pub mod tree;
pub mod unit_tests;
pub mod userland;
mod weak_symbols;
