// SPDX-License-Identifier: Apache-2.0
//! Limits of the memory of containers (init/src/cgroups.rs) in a memory that grows or shrinks while the machine runs:
//! hosts add memory (virtio-mem, Hyper-V's dynamic memory) when programs want it.

use std::fs;
use std::path::{Path, PathBuf};

use log::{info, warn};
use sys::memory::containers_limit;
use sys::user_cgroup::USERS;

use super::writers::ROOTS;

/// The limit of the memory at the last look.
pub struct Limit(Option<u64>);

impl Limit {
    /// The limit of the memory of now.
    pub fn new() -> Limit {
        Limit(containers_limit())
    }

    /// Changes the limits if the memory has changed.
    pub fn look(&mut self) {
        let (before, now) = (self.0, containers_limit());
        if let (Some(before), Some(now)) = (before, now)
            && before != now
        {
            let users = fs::read_dir(USERS).into_iter().flatten().flatten();
            let users = users.map(|user| user.path());
            users
                .chain([PathBuf::from(ROOTS)])
                .for_each(|cgroup| change(&cgroup, before, now));
            self.0 = Some(now);
        }
    }
}

/// Changes the limit of a cgroup, unless root has set another one.
fn change(cgroup: &Path, before: u64, now: u64) {
    let file = cgroup.join("memory.max");
    let found = fs::read_to_string(&file).unwrap_or_default();
    if found.trim_ascii().parse() != Ok(before) {
        return;
    }
    match fs::write(&file, now.to_string()) {
        Ok(()) => info!("store: {} is now {now}", file.display()),
        Err(e) => warn!("store: {}: {e}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_limit_that_root_has_set_stays() {
        let temp = Temp::new();
        let file = temp.path("memory.max");
        for (found, left) in [("4096\n", "8192"), ("max\n", "max\n"), ("1\n", "1\n")] {
            fs::write(&file, found).unwrap();
            change(temp.dir(), 4096, 8192);
            assert_eq!(fs::read_to_string(&file).unwrap(), left);
        }
        change(&temp.path("none"), 4096, 8192);
        assert!(!temp.path("none").exists());
    }
}
