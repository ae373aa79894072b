// SPDX-License-Identifier: Apache-2.0
//! Start of user services by the boot, which happens once: the file exists after the start, and names the
//! users whose quadlets could not be loaded and did not start. A run that ends before leaves no file.

use std::path::Path;

use log::warn;

/// File of the boot's start.
const FILE: &str = "/run/boot2podman/user-services.started";

/// Progress of the boot's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootStart {
    /// Users whose quadlets are still to be started; `None` before the first run is over.
    pending: Option<Vec<u32>>,
}

impl BootStart {
    /// Reads the file.
    #[must_use]
    pub fn read() -> BootStart {
        BootStart::read_from(Path::new(FILE))
    }

    fn read_from(path: &Path) -> BootStart {
        let text = std::fs::read_to_string(path).ok();
        let uids = |text: String| text.lines().filter_map(|uid| uid.parse().ok()).collect();
        BootStart {
            pending: text.map(uids),
        }
    }

    /// Returns true until a run has started the user services of the boot.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.pending.is_none()
    }

    /// Returns true if the boot's start of a user's quadlets has not happened.
    #[must_use]
    pub fn is_due(&self, uid: u32) -> bool {
        self.pending
            .as_ref()
            .is_none_or(|pending| pending.contains(&uid))
    }

    /// Notes a run after which the start of these users is still to be done. Services that a later run could
    /// not load were started before.
    pub fn finish(&self, failed: &[u32]) {
        self.write(Path::new(FILE), failed);
    }

    fn write(&self, path: &Path, failed: &[u32]) {
        let due = failed.iter().filter(|uid| self.is_due(**uid));
        let text: String = due.map(|uid| format!("{uid}\n")).collect();
        // Without the file the next run starts stopped services.
        if let Err(why) = sys::files::replace(path, text.as_bytes(), 0o644) {
            warn!("{why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_start_of_a_user_is_due_until_it_is_done() {
        let temp = crate::common::testing::Temp::new();
        let path = temp.path("started");
        let due = |uids: [u32; 3]| uids.map(|uid| BootStart::read_from(&path).is_due(uid));
        // Nothing but the end of a run counts as the boot's start.
        assert!(BootStart::read_from(&path).is_first());
        assert_eq!(due([0, 1000, 1001]), [true, true, true]);
        BootStart::read_from(&path).write(&path, &[1000]);
        assert!(!BootStart::read_from(&path).is_first());
        assert_eq!(due([0, 1000, 1001]), [false, true, false]);
        BootStart::read_from(&path).write(&path, &[0, 1000]);
        assert_eq!(due([0, 1000, 1001]), [false, true, false]);
        BootStart::read_from(&path).write(&path, &[]);
        assert_eq!(due([0, 1000, 1001]), [false, false, false]);
    }
}
