//! Where things are. Everything made lies under `out/`; `OUT=` moves it.

use std::path::{Path, PathBuf};

use crate::packages::Kernel;

/// The project's root directory: the one that holds the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// Where the artifacts go.
pub fn out() -> PathBuf {
    match std::env::var_os("OUT") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir)),
        None => root().join("out"),
    }
}

/// Where the stages keep what they need not do twice.
pub fn cache() -> PathBuf {
    out().join("cache")
}

/// Where they keep what is so for one kernel only.
pub fn cache_of(kernel: Kernel) -> PathBuf {
    cache().join(kernel.name())
}

/// Where the artifacts of one kernel go, whichever `KERNEL=` asks for.
pub fn out_of(kernel: Kernel) -> PathBuf {
    out().join(kernel.name())
}

/// The plain files that are copied over the userland.
pub fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files")
}
