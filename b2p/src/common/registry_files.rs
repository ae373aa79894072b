// SPDX-License-Identifier: Apache-2.0
//! Registry files that `b2p registries` copies from the data disk for podman.

/// Directory in which podman reads the copies, which the data disk may keep (`b2p.etc=`).
pub const DIR: &str = "/etc/containers/registries.conf.d";
/// File in [`DIR`] with the names of the copies; podman reads files of another extension.
pub const COPIES: &str = ".boot2podman";
