// SPDX-License-Identifier: Apache-2.0
//! Number of jobs of each user, over all connections. A job is a thread of root that follows PID 1 until the unit
//! is up; one that outlives its connection would let a user pile up any number of them.

use std::sync::{Arc, Mutex, PoisonError};

/// Most jobs at once of root, and of another user. podman waits for each before its next request.
const MAX_ROOT: usize = 16;
const MAX_ONE: usize = 4;

/// Users of the jobs that run, once for each job.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Mutex<Vec<u32>>>);

/// Place of one job, which is free again when the value is dropped.
pub struct Place {
    jobs: Jobs,
    uid: u32,
}

impl Jobs {
    /// Takes a place for a job, unless the user has as many as there may be.
    pub fn take(&self, uid: u32) -> Option<Place> {
        let has_place = self.with(|users| {
            let count = users.iter().filter(|user| **user == uid).count();
            let has_place = count < most(uid);
            users.extend(has_place.then_some(uid));
            has_place
        });
        has_place.then(|| Place {
            jobs: self.clone(),
            uid,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<u32>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.jobs.with(|users| {
            if let Some(at) = users.iter().position(|user| *user == self.uid) {
                users.swap_remove(at);
            }
        });
    }
}

/// Returns the most jobs at once of a user.
pub fn most(uid: u32) -> usize {
    match uid {
        0 => MAX_ROOT,
        _ => MAX_ONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_jobs_of_a_user_counts_over_all_connections() {
        let jobs = Jobs::default();
        let takes = |uid: u32| -> Vec<Place> { (0..40).filter_map(|_| jobs.take(uid)).collect() };
        let (mut ann, root) = (takes(1_000), takes(0));
        assert_eq!((ann.len(), root.len()), (4, 16));
        assert_eq!(takes(1_001).len(), 4, "each has a share");
        assert!(jobs.clone().take(1_000).is_none(), "another connection");
        ann.pop();
        assert_eq!(takes(1_000).len(), 1, "one has ended");
    }
}
