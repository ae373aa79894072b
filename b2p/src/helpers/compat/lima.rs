// SPDX-License-Identifier: Apache-2.0
//! Lima, whose seeds are read by `b2p cloud`.

use std::path::Path;

use sys::error::{Doing, Result};
use sys::files::replace;

/// File on a seed that Lima made.
pub const MARKER: &str = "lima.env";

/// Program of OpenRC. Without this file, Lima's boot.sh waits for systemd's user manager, for ever,
/// before it runs the scripts of the user. The file is not executable, so that no program mistakes
/// it for OpenRC.
const OPENRC_RUN: &str = "/usr/sbin/openrc-run";
const CONTENT: &[u8] =
    b"# For Lima: there is no systemd to wait for. Of OpenRC there are rc-service and rc-update.\n";

/// Directories in which Lima's scripts write: the service of the guest agent (`crate::client::openrc`),
/// and settings.
const DIRS: &[&str] = &["/etc/init.d", "/etc/conf.d", "/etc/sysctl.d"];

/// Writes the file that keeps Lima's boot.sh from waiting, and makes the directories for the agent.
///
/// # Errors
/// The file cannot be written, or a directory not made.
pub fn install() -> Result<()> {
    for dir in DIRS {
        std::fs::create_dir_all(dir).on(dir)?;
    }
    replace(Path::new(OPENRC_RUN), CONTENT, 0o644)
}
