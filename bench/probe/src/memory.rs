// SPDX-License-Identifier: Apache-2.0
//! Memory in KiB, from proc(5).

use std::fs;

/// Returns a field of /proc/meminfo, of a process's status or of smaps_rollup.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = |line| str::strip_prefix(line, name)?.strip_prefix(':');
    text.lines()
        .find_map(value)?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()
}

/// Returns the memory that is not available to a new allocation.
pub fn used() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|e| format!("meminfo: {e}"))?;
    let [total, free] = ["MemTotal", "MemAvailable"].map(|name| field(&text, name));
    Ok(total
        .zip(free)
        .map_or(0, |(total, free)| total.saturating_sub(free)))
}

/// Returns the sum of PSS over all processes (a page shared by n of them counts as 1/n), and their
/// number. Kernel threads have none.
pub fn pss() -> (u64, u64) {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parts: Vec<u64> = processes
        .filter(|p| p.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|p| fs::read_to_string(p.path().join("smaps_rollup")).ok())
        .filter_map(|text| field(&text, "Pss"))
        .collect();
    (parts.iter().sum(), parts.len() as u64)
}

/// Returns PID 1's resident memory, and its anonymous part.
pub fn of_pid1() -> Result<(u64, u64), String> {
    let text = fs::read_to_string("/proc/1/status").map_err(|e| format!("status: {e}"))?;
    let get = |name| field(&text, name).unwrap_or(0);
    Ok((get("VmRSS"), get("RssAnon")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_whole_name() {
        let text = "Pss_Dirty:   4 kB\nPss:      12 kB\nRss: x kB\n";
        assert_eq!(field(text, "Pss"), Some(12));
        assert_eq!(field(text, "Rss"), None);
        assert_eq!(field(text, "Swap"), None);
    }

    #[test]
    fn memory_of_this_process_is_counted() {
        let (kib, processes) = pss();
        assert!(kib > 0 && processes > 0);
        assert!(used().is_ok_and(|kib| kib > 0));
    }
}
