// SPDX-License-Identifier: Apache-2.0
//! Size of the kernel's table of connections, which a machine has from its first bridge on: netavark's translation of
//! addresses tracks every connection of the machine, those of ssh included. With a full table the kernel drops the
//! first packet of each new connection (nf_conntrack-sysctl.rst), and its own size is that of one container: 1,700
//! connections with 256 MB, 7,800 with 1 GB.

use std::fs;
use std::path::Path;

use log::debug;

/// Directory of the settings, which is there while the kernel tracks connections.
const SETTINGS: &str = "/proc/sys/net/netfilter";
/// Memory in bytes for each entry, of which an entry takes 320: a full table takes a twelfth of the memory. The sockets
/// of a container take more, and count to its cgroup.
const BYTES_PER_ENTRY: u64 = 4 * 1024;
/// Least and largest number of entries.
const LEAST: u64 = 65_536;
const MOST: u64 = 1_048_576;
/// Time in seconds after which a connection without packets is forgotten: a day, and not the kernel's five.
const IDLE_SECONDS: u64 = 86_400;

/// The table of connections.
#[derive(Debug, Default)]
pub struct Conntrack {
    /// True once the table has its size.
    is_large: bool,
}

impl Conntrack {
    /// Enlarges the table once the kernel has one; a larger one stays.
    pub fn enlarge(&mut self) {
        self.enlarge_in(Path::new(SETTINGS), || sys::memory::total().unwrap_or(0));
    }

    fn enlarge_in(&mut self, dir: &Path, memory: impl Fn() -> u64) {
        let max = dir.join("nf_conntrack_max");
        if self.is_large || !max.exists() {
            return;
        }
        self.is_large = true;
        let now = fs::read_to_string(&max).unwrap_or_default();
        let wanted = entries(memory());
        let idle = dir.join("nf_conntrack_tcp_timeout_established");
        for (path, value) in [(max, wanted), (idle, IDLE_SECONDS)] {
            if now.trim().parse().is_ok_and(|now: u64| now < wanted) {
                let written = fs::write(&path, value.to_string());
                written.unwrap_or_else(|e| debug!("{}: {e}", path.display()));
            }
        }
    }
}

/// Returns the size of the table of a machine with this memory in bytes.
fn entries(memory: u64) -> u64 {
    (memory / BYTES_PER_ENTRY).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn the_table_is_enlarged_once_it_exists() {
        let temp = Temp::new();
        let max = temp.dir().join("nf_conntrack_max");
        let value = || fs::read_to_string(&max).unwrap();
        let mut conntrack = Conntrack::default();
        conntrack.enlarge_in(temp.dir(), || 1 << 30);
        assert!(!max.exists());
        fs::write(&max, "7743\n").unwrap();
        conntrack.enlarge_in(temp.dir(), || 1 << 30);
        assert_eq!(value(), "262144");
        // A user's own number stays.
        fs::write(&max, "100\n").unwrap();
        conntrack.enlarge_in(temp.dir(), || 1 << 30);
        assert_eq!(value(), "100\n");
        fs::write(&max, "2000000\n").unwrap();
        Conntrack::default().enlarge_in(temp.dir(), || 1 << 30);
        assert_eq!(value(), "2000000\n");
        assert_eq!((entries(0), entries(u64::MAX)), (LEAST, MOST));
    }
}
