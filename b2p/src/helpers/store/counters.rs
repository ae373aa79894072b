// SPDX-License-Identifier: Apache-2.0
//! Counters of the amount that containers have written, by the names of their cgroups.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Length of a container's id.
pub const ID_DIGITS: usize = 64;

/// Resource that a store lacks, and the counter of a container's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Blocks of a disk: bytes that processes have written, to the disk or to pages that will be.
    DiskBytes,
    /// Pages of RAM: bytes in tmpfs.
    RamBytes,
    /// Inodes: the kernel's memory for those that are in use, which is the container's.
    Inodes,
}

impl Lack {
    /// All resources.
    pub const ALL: [Lack; 3] = [Lack::DiskBytes, Lack::RamBytes, Lack::Inodes];

    /// Reads the counter of a cgroup. The kernel adds up those of memory.stat every two seconds, and at a read only if many
    /// pages are missing (mm/memcontrol.c, mem_cgroup_flush_stats). A read of io.stat adds up all (Linux 6.12,
    /// cgroup_rstat_flush). Of blocks there is none: threads of the kernel write the pages of a file, and io.stat does not
    /// count them for the container (fs/jbd2/commit.c). [`super::written`] counts them.
    pub fn count(self, cgroup: &Path) -> u64 {
        let name = match self {
            Lack::DiskBytes => return 0,
            Lack::RamBytes => "shmem",
            Lack::Inodes => "slab_reclaimable",
        };
        let read = |file| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
        let _ = read("io.stat");
        field(&read("memory.stat"), name)
    }
}

/// Counters by resource and cgroup.
pub type Counters = BTreeMap<(Lack, PathBuf), u64>;

/// Returns the counters of a resource that are not zero.
pub fn counters_of(now: &Counters, lack: Lack) -> impl Iterator<Item = (u64, &PathBuf)> {
    let some = now
        .iter()
        .filter(move |((of, _), now)| *of == lack && **now > 0);
    some.map(|((_, cgroup), now)| (*now, cgroup))
}

/// Returns the user among whose cgroups, below the directory `users`, this one is.
pub fn user_of(users: &Path, cgroup: &Path) -> Option<u32> {
    let below = cgroup.strip_prefix(users).ok()?;
    below
        .components()
        .next()?
        .as_os_str()
        .to_str()?
        .parse()
        .ok()
}

/// Returns the id in the name of a cgroup: `libpod-ID`, `libpod-payload-ID` below the cgroup of a service
/// (podman-run(1), `--cgroups=split`), or `ID` of a cgroup named by crun.
pub fn id_of(cgroup: &Path) -> Option<&str> {
    let name = cgroup.file_name()?.to_str()?;
    let prefixes = ["libpod-payload-", "libpod-"];
    let id = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    let id = id.unwrap_or(name);
    (id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

/// Returns the number of a field: `shmem 4096`.
pub fn field(stat: &str, name: &str) -> u64 {
    let mut lines = stat.lines();
    let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_cgroup() {
        let memory = "anon 1\nfile 9\nshmem 4096\nshmem_thp 7\nfile_dirty 3\n";
        assert_eq!(field(memory, "shmem"), 4096);
        assert_eq!(field(memory, "file_dirty"), 3);
        assert_eq!(field("garbage", "shmem"), 0);
    }
}
