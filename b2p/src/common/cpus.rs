// SPDX-License-Identifier: Apache-2.0
//! Number of processors.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// Returns the number of processors on which this process may run (sched_setaffinity(2)), at least one. std's
/// `available_parallelism` also reads the quotas of all cgroups above the process, and takes 5 kB of `b2p`.
#[must_use]
pub fn count() -> usize {
    let set = sched_getaffinity(Pid::from_raw(0));
    set.map_or(0, |set| members(&set)).max(1)
}

fn members(set: &CpuSet) -> usize {
    let is_member = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    (0..CpuSet::count()).filter(is_member).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_of_the_set_counts_once() {
        let mut set = CpuSet::new();
        for cpu in [0, 3, 3, CpuSet::count() - 1] {
            set.set(cpu).expect("a number below the limit");
        }
        assert_eq!(members(&set), 3);
        assert_eq!(members(&CpuSet::new()), 0);
        assert!(count() >= 1);
    }
}
