// SPDX-License-Identifier: Apache-2.0
//! Paths of the machine's state; tests put all of them below another directory.

use std::path::{Path, PathBuf};

/// Directory of the service files that units become.
pub const DEFINITIONS: &str = "/run/boot2podman/units";

/// Paths below one root directory: `/` by default.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths::below("/")
    }
}

impl Paths {
    /// Paths below `root` instead of `/`.
    pub fn below(root: impl Into<PathBuf>) -> Paths {
        Paths { root: root.into() }
    }

    /// Root directory of all other paths.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of `absolute`, below the root directory.
    #[must_use]
    pub fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Mount point of the data disk.
    #[must_use]
    pub fn data_disk(&self) -> PathBuf {
        self.at("/mnt/data")
    }

    /// Directory of persistent state; on the data disk where there is one.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.at("/var/lib/boot2podman")
    }

    /// Directory of podman's containers and images.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.at("/var/lib/containers")
    }

    /// Directory of the state of this boot.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.at(sys::paths::RUNTIME_DIR)
    }
}
