// SPDX-License-Identifier: Apache-2.0
//! Python packages that tests need, from PyPI.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{paths, stamp, tools};

/// Returns a directory for `PYTHONPATH` with these packages; a lock keeps two tests from
/// installing them at once. `requirements` are pip's, all packages with versions and the hashes of
/// their wheels: nothing is compiled, and nothing else is installed.
///
/// # Errors
/// pip is missing, or cannot provide a package.
pub fn packages(name: &str, requirements: &str) -> Result<PathBuf> {
    let dir = paths::cache().join(format!("python-{name}"));
    let _lock = stamp::lock(&dir.with_extension("lock"))?;
    stamp::make(&dir, requirements, |to| {
        fs::create_dir_all(to)?;
        let file = to.join("requirements.txt");
        fs::write(&file, requirements)?;
        let mut pip = Command::new("python3");
        #[rustfmt::skip]
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps",
            "--no-compile", "--only-binary=:all:", "--require-hashes"]);
        pip.arg("--requirement").arg(&file).arg("--target").arg(to);
        tools::run(&mut pip, "pip").map(drop)
    })?;
    Ok(dir)
}
