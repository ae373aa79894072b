//! Folders that the host shares, where the flags say so: `b2p share`, run by PID 1
//! before the machine is ready, and again when the host gives or takes one.
//!
//! virtiofs or 9p is what the tag's device says ([`find`]). What is there already
//! is left, so it may run again. What was asked for and is not there is told to
//! PID 1 in /run/boot2podman/share.degraded, in lines `degraded share: WHY`.
//!
//! A server that is gone answers nothing for ever, and who waits for it cannot be
//! killed (fs/fuse/dev.c, request_wait_answer): whatever touches a folder is done
//! in a child with a time limit, which is left behind.

mod find;
mod place;

use std::path::Path;
use std::time::{Duration, Instant};

use config::SharedFolder;
use log::info;
use sys::uevent;

use crate::common::degraded::Degraded;
use crate::helpers::data::drivers::Drivers;
use find::Offer;

/// A server that lives answers at once, one that is gone never.
const EACH: Duration = Duration::from_secs(3);
/// Less than the time that the ready line waits (`init::service_table`).
const ALL: Duration = Duration::from_secs(15);

/// Does everything; what fails is said and is no failure of the program.
pub fn main() -> i32 {
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let mut degraded = Degraded::of("share");
    for (folder, done) in all(config.shares) {
        let what = format!("{} at {}", folder.tag, folder.path);
        match done {
            Ok(how) => info!("share: {what}: {how}"),
            Err(why) => degraded.warn(format_args!("{what}: {why}")),
        }
    }
    degraded.report()
}

/// Each folder, and what came of it.
fn all(mut folders: Vec<SharedFolder>) -> Vec<(SharedFolder, Result<String, String>)> {
    // One that lies in another comes after it.
    folders.sort_by(|a, b| a.path.cmp(&b.path));
    let offer = offer(&folders);
    let end = Instant::now() + ALL;
    let one = |folder: SharedFolder| {
        let within = EACH.min(end.saturating_duration_since(Instant::now()));
        let done = match offer.find(&folder.tag) {
            Ok(by) => place::mount(&folder, by, within),
            Err(why) => {
                place::forget(&folder, within);
                Err(why)
            }
        };
        (folder, done)
    };
    folders.into_iter().map(one).collect()
}

/// What the host offers; drivers are loaded only where something is missing.
fn offer(folders: &[SharedFolder]) -> Offer {
    let all = |offer: &Offer| folders.iter().all(|f| offer.find(&f.tag).is_ok());
    let offer = Offer::read(Path::new(uevent::SYSFS));
    if all(&offer) {
        return offer;
    }
    Drivers::of_the_machine().load(find::may_share);
    Offer::read(Path::new(uevent::SYSFS))
}
