// SPDX-License-Identifier: Apache-2.0
//! Packages that the host must have: `initramfs/host.sh` lists and installs them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Installs what the host lacks. The script prints nothing if the host lacks nothing, and one line
/// if a package cannot be installed.
pub fn ensure_packages() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("host.sh");
    let status = Command::new("sh")
        .arg(&script)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("run {}", script.display()))?;
    if !status.success() {
        bail!("the host lacks something; see the line above");
    }
    Ok(())
}
