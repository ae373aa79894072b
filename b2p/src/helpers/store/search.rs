// SPDX-License-Identifier: Apache-2.0
//! Search for the containers that use up the room of a full store, by their counters ([`super::counters`]).

use std::path::PathBuf;

use super::counters::{Counters, Lack, counters_of};

/// Bytes that a container which waits for room does not write.
const WRITES: u64 = 64 << 10;
/// Number of looks, a second each, without a found container, after which no container is assumed to take the room. The
/// kernel's counters may be two seconds late.
const QUIET_LOOKS: u32 = 5;

/// Search since the store had room, or since a part of the room was given.
#[derive(Debug, Default)]
pub struct Search {
    /// Smallest counters since then: a container that removes what it has written, and writes again, counts as well.
    least: Counters,
    /// Number of looks.
    looks: u32,
}

impl Search {
    /// A search for containers that write from now on.
    pub fn since(now: &Counters) -> Search {
        Search {
            least: now.clone(),
            looks: 0,
        }
    }

    /// Returns the containers that have written since the search began and are not in `paused`, also those that do not
    /// write any more: they wait until there is room. `None` means that others may still be found. The use of
    /// inodes that are given back takes too little memory to show, so that before the last part is given (`has_last`), the
    /// result for inodes is the container that has taken most.
    pub fn look(
        &mut self,
        now: &Counters,
        lack: Lack,
        paused: &[PathBuf],
        has_last: bool,
    ) -> Option<Vec<PathBuf>> {
        let others = || counters_of(now, lack).filter(|(_, cgroup)| !paused.contains(cgroup));
        let grown = |&(now, cgroup): &(u64, &PathBuf)| {
            let least = self.least.get(&(lack, cgroup.clone()));
            now.saturating_sub(least.copied().unwrap_or(0)) >= WRITES
        };
        let mut found: Vec<_> = others().filter(grown).map(|c| c.1.clone()).collect();
        if found.is_empty() && lack == Lack::Inodes && has_last {
            found.extend(others().max().map(|c| c.1.clone()));
        }
        for (key, least) in &mut self.least {
            *least = now.get(key).map_or(0, |now| *now.min(least));
        }
        self.looks += 1;
        (has_last && self.is_late() || !found.is_empty()).then_some(found)
    }

    /// Returns true after [`QUIET_LOOKS`].
    pub fn is_late(&self) -> bool {
        self.looks >= QUIET_LOOKS
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Containers, their paths in order.
    const NAMES: [&str; 3] = ["a", "b", "c"];
    /// The container that is paused in all cases.
    const PAUSED: &str = "c";

    fn counters(lack: Lack, kib: [u64; 3]) -> Counters {
        let pairs = NAMES.iter().zip(kib);
        pairs
            .map(|(name, kib)| ((lack, PathBuf::from(name)), kib << 10))
            .collect()
    }

    /// Looks at these counters in KiB, of which the first are those at the beginning, and returns the names that each look
    /// finds; `-` if others may still be found.
    fn names(lack: Lack, has_last: bool, looks: &[[u64; 3]]) -> Vec<String> {
        let (first, looks) = looks.split_first().unwrap();
        let mut search = Search::since(&counters(lack, *first));
        let mut look = |kib: &[u64; 3]| {
            let paused = [PathBuf::from(PAUSED)];
            let found = search.look(&counters(lack, *kib), lack, &paused, has_last);
            let names =
                |found: Vec<PathBuf>| found.iter().map(|p| p.display().to_string()).collect();
            found.map_or("-".to_owned(), names)
        };
        looks.iter().map(&mut look).collect()
    }

    #[test]
    fn a_container_that_took_the_room_is_found_although_it_waits() {
        for (looks, wanted) in [
            // Both write; the one that is paused is not found again.
            (&[[0, 0, 0], [512, 900, 900]][..], &["ab"][..]),
            // The container took all before the kernel added up its counter.
            (&[[9, 50, 0], [9, 50, 0], [9, 562, 0]], &["-", "b"]),
            // Little by little.
            (
                &[[0, 50, 0], [0, 80, 0], [1, 113, 0], [1, 114, 0]],
                &["-", "-", "b"],
            ),
            // The container removes what it has written, and writes again.
            (&[[0, 900, 0], [0, 800, 0], [0, 864, 0]], &["-", "b"]),
            // Nobody: a program outside of containers takes the room.
            (&[[7; 3]; 6], &["-", "-", "-", "-", ""]),
        ] {
            assert_eq!(names(Lack::RamBytes, true, looks), wanted, "{looks:?}");
        }
    }

    #[test]
    fn without_a_last_part_only_a_writer_is_found() {
        let mut looks = vec![[7; 3]; 9];
        assert_eq!(names(Lack::DiskBytes, false, &looks), ["-"; 8]);
        looks.push([7, 71, 7]);
        let found = names(Lack::DiskBytes, false, &looks);
        assert_eq!(found.last().map(String::as_str), Some("b"));
    }

    #[test]
    fn inodes_are_taken_by_the_largest() {
        let looks = [[10, 20, 30], [10, 20, 30], [90, 20, 30]];
        assert_eq!(names(Lack::Inodes, true, &looks), ["b", "a"]);
        assert_eq!(names(Lack::Inodes, false, &looks), ["-", "a"]);
    }

    #[test]
    fn a_container_that_started_since_counts_as_a_whole() {
        let lack = Lack::RamBytes;
        let mut search = Search::since(&Counters::new());
        let now = counters(lack, [64, 63, 0]);
        let found = search.look(&now, lack, &[], true);
        assert_eq!(found, Some(vec![PathBuf::from("a")]));
        assert_eq!(search.look(&now, Lack::DiskBytes, &[], true), None);
        assert_eq!(Search::since(&now).look(&now, lack, &[], true), None);
    }
}
