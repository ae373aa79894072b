//! What the host must have: `initramfs/host.sh` knows and installs it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs the script: silent when everything is there, one line when something cannot be
/// installed.
pub fn need() -> Result<()> {
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
