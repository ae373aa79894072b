// SPDX-License-Identifier: Apache-2.0
//! Disks that do not answer. An open(2) or a read(2) of such a disk never returns, and no signal interrupts
//! the call (`TASK_UNINTERRUPTIBLE`), so a child asks each disk first.

use std::time::{Duration, Instant};

use sys::syscall::{self, Child};

/// Time limit for all answers. A disk whose driver is loaded has answered the kernel before.
const LIMIT: Duration = Duration::from_secs(5);

/// Children that ask disks, one for each disk.
#[derive(Debug, Default)]
pub struct Answers {
    asked: Vec<(String, Option<Child>)>,
}

impl Answers {
    /// Has a child call `ask` for each disk that has not been asked yet, and waits until all have answered, at most
    /// for [`LIMIT`].
    pub fn wait_for(&mut self, disks: &[String], ask: fn(&str)) {
        let is_new = |name: &&String| !self.asked.iter().any(|(asked, _)| asked == *name);
        let new: Vec<String> = disks.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return;
        }
        // A disk that cannot be asked counts as one that answers.
        let in_child = |name: String| (name.clone(), syscall::in_child(|| ask(&name)));
        self.asked.extend(new.into_iter().map(in_child));
        let deadline = Instant::now() + LIMIT;
        for (name, child) in &mut self.asked {
            let left = deadline
                .saturating_duration_since(Instant::now())
                .as_millis();
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            if child
                .as_ref()
                .is_some_and(|child| child.exited_within(left))
            {
                *child = None;
            } else if child.is_some() {
                log::warn!("/dev/{name} has not answered within {} s", LIMIT.as_secs());
            }
        }
    }

    /// Returns true if a disk has been asked and has not answered.
    pub fn awaits(&mut self, disk: &str) -> bool {
        let mut asked = self.asked.iter_mut().filter(|(name, _)| name == disk);
        asked.any(|(_, child)| is_waiting(child))
    }

    /// Returns true if any disk has been asked and has not answered.
    pub fn awaits_any(&mut self) -> bool {
        self.asked.iter_mut().any(|(_, child)| is_waiting(child))
    }
}

fn is_waiting(child: &mut Option<Child>) -> bool {
    *child = child.take().filter(|child| !child.exited_within(0));
    child.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_asked_once() {
        let mut answers = Answers::default();
        answers.asked.push(("vda".into(), syscall::in_child(sleep)));
        let disks = ["vda".to_owned(), "vdb".to_owned()];
        answers.wait_for(&disks, |_| ());
        assert!(answers.awaits("vda") && !answers.awaits("vdb") && answers.awaits_any());
        answers.wait_for(&disks, |_| sleep());
        assert!(!answers.awaits("vdb"), "vdb was asked again");
        let child = answers.asked.remove(0).1;
        child.inspect(Child::kill);
        assert!(!answers.awaits_any());
    }

    fn sleep() {
        std::thread::sleep(Duration::from_secs(60));
    }
}
