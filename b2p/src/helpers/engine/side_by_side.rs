// SPDX-License-Identifier: Apache-2.0
//! Work for each user that runs a podman of the user's. Such a podman reads files of the user, and therefore takes
//! any time: it does not delay the podman of root, and delays those of other users only if several users hang.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Most users for whom work is done at once, each with a podman of 45 MB.
const MAX_AT_ONCE: usize = 4;

/// Does `work` for each of `all`: first for root, then for the others side by side. `done` gets the results, one
/// at a time in the order of the list.
pub fn each<T: Sync, R: Send>(
    all: &[T],
    uid: impl Fn(&T) -> u32,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R),
) {
    let (root, others): (Vec<&T>, Vec<&T>) = all.iter().partition(|user| uid(user) == 0);
    root.into_iter().for_each(|user| done(user, work(user)));
    let next = AtomicUsize::new(0);
    let take = || others.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let (send, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..others.len().min(MAX_AT_ONCE) {
            let (send, take, work) = (send.clone(), &take, &work);
            let worker = move || {
                while let Some(user) = take() {
                    let _ = send.send((user, work(user)));
                }
            };
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        drop(send);
        results.iter().for_each(|(user, result)| done(user, result));
    });
    // Without any thread.
    while let Some(user) = take() {
        done(user, work(user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    #[test]
    fn a_podman_that_hangs_holds_up_neither_root_nor_other_users() {
        let (tell, told) = mpsc::channel();
        let told = Mutex::new(told);
        // The podman of the first user ends after those of all others, or never.
        let work = |uid: &u32| match uid {
            1_000 => told
                .lock()
                .is_ok_and(|told| told.recv_timeout(Duration::from_secs(20)).is_ok()),
            _ => true,
        };
        let mut order = Vec::new();
        each(
            &[1_000, 1_001, 0, 1_002],
            |uid| *uid,
            work,
            |uid, is_done| {
                order.push((*uid, is_done));
                if order.len() == 3 {
                    let _ = tell.send(());
                }
            },
        );
        assert_eq!(order.first(), Some(&(0, true)));
        assert_eq!(order.last(), Some(&(1_000, true)));
        assert_eq!(order.len(), 4);
    }

    #[test]
    fn at_most_limit_users_run_in_parallel_and_each_once() {
        let running = AtomicUsize::new(0);
        let uids: Vec<u32> = (1..40).collect();
        let mut most = 0;
        let mut seen = Vec::new();
        let work = |_: &u32| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            thread::sleep(Duration::from_millis(2));
            running.fetch_sub(1, Ordering::SeqCst);
            now
        };
        each(
            &uids,
            |uid| *uid,
            work,
            |uid, now| {
                most = most.max(now);
                seen.push(*uid);
            },
        );
        seen.sort_unstable();
        assert_eq!(seen, uids);
        assert!((2..=MAX_AT_ONCE).contains(&most), "{most}");
    }
}
