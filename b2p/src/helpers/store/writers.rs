// SPDX-License-Identifier: Apache-2.0
//! The container that has written most, from the counters of its cgroup (cgroup-v2.rst).

use std::fs;
use std::path::Path;

/// Directory of the cgroups of root's containers (podman's cgroupfs manager).
const CGROUPS: &str = "/sys/fs/cgroup/libpod_parent";
/// Length of the short form of a container's id.
const SHORT_ID: usize = 12;

/// Returns the short id of the container that has written most: to disks, or to file systems in
/// RAM.
pub fn most(on_disk: bool) -> Option<String> {
    let entries = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    let containers = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let id = name.strip_prefix("libpod-")?.get(..SHORT_ID)?.to_owned();
        let is_id = id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then(|| (written(&entry.path(), on_disk), id))
    });
    let (bytes, id) = containers.max()?;
    (bytes > 0).then_some(id)
}

fn written(cgroup: &Path, on_disk: bool) -> u64 {
    let read = |file| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    match on_disk {
        true => disk_bytes(&read("io.stat")),
        false => ram_bytes(&read("memory.stat")),
    }
}

/// Sums up the bytes written to all disks: `254:0 rbytes=1 wbytes=2 …`.
fn disk_bytes(stat: &str) -> u64 {
    let words = stat.split_whitespace();
    let numbers = words.filter_map(|word| word.strip_prefix("wbytes=")?.parse::<u64>().ok());
    numbers.fold(0, u64::saturating_add)
}

/// Returns the bytes in tmpfs: `shmem 4096`.
fn ram_bytes(stat: &str) -> u64 {
    let mut lines = stat.lines();
    let number = lines.find_map(|line| line.strip_prefix("shmem ")?.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_cgroup() {
        let io = "254:0 rbytes=5 wbytes=7 rios=1\n254:16 rbytes=1 wbytes=4096 dbytes=0\n";
        assert_eq!((disk_bytes(io), disk_bytes("")), (4103, 0));
        assert_eq!(ram_bytes("anon 1\nfile 9\nshmem 4096\nshmem_thp 7\n"), 4096);
        assert_eq!(ram_bytes("garbage"), 0);
    }
}
