// SPDX-License-Identifier: Apache-2.0
//! Commands and keepers, killed at a system call: afterwards the machines are told truly, and nothing
//! is left behind. `make test` kills at some calls, `make test-all` at each.

mod adoption;
mod commands;
mod cost;
mod disks;
mod docker;
mod guest;
mod host;
mod hosts;
mod interrupted;
mod life;
mod lost;
mod odd;
mod orders;
mod restarts;
mod trace;
mod troubles;

use anyhow::{Context, Result, ensure};
use host::{CREATE, Host};
use nix::sys::wait::WaitStatus;
use std::fs;
use trace::{Flush, Shot, flushes};

/// Variable with the first and the last call of a test that is repeated by hand for some calls: `530-540`.
const CALLS: &str = "CRASH_CALLS";

/// Returns the calls at which to kill: `most` of them, or each, within the range of [`CALLS`].
fn points(calls: usize, most: usize) -> impl Iterator<Item = usize> {
    let range = std::env::var(CALLS).ok().and_then(|text| {
        let (first, last) = text.split_once('-')?;
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    (1..=calls)
        .step_by(calls.div_ceil(most).max(1))
        .filter(move |at| range.as_ref().is_none_or(|range| range.contains(at)))
}

fn create(most: usize) -> Result<()> {
    let host = Host::new()?;
    let (calls, end) = host.shot(CREATE, Shot::NONE)?;
    ensure!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    ensure!(host.ok("status box")? == "Stopped");
    host.ok("rm -f box")?;
    for at in points(calls, most) {
        host.shot(CREATE, Shot::kill(at))?;
        let about = || format!("create, killed at call {at} of {calls}");
        let listed = host.ok("ls -q").with_context(about)?;
        ensure!(
            listed.is_empty() || listed == "box",
            "{}: {listed}",
            about()
        );
        if listed.is_empty() {
            host.create().with_context(about)?;
        }
        ensure!(host.ok("status box")? == "Stopped", "{}", about());
        host.ok("rm -f box").with_context(about)?;
        ensure!(host.left()?.is_empty(), "{}: {:?}", about(), host.left()?);
    }
    Ok(())
}

fn remove(most: usize) -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let (calls, _) = host.shot("rm -f box", Shot::NONE)?;
    for at in points(calls, most) {
        host.create()?;
        host.shot("rm -f box", Shot::kill(at))?;
        let about = || format!("rm, killed at call {at} of {calls}");
        let listed = host.ok("ls -q").with_context(about)?;
        if listed == "box" {
            ensure!(host.ok("status box")? == "Stopped", "{}", about());
        }
        host.run("rm -f box")?;
        ensure!(host.left()?.is_empty(), "{}: {:?}", about(), host.left()?);
    }
    Ok(())
}

/// Expects this state of the machine `box`.
fn is(host: &Host, state: &str) -> Result<()> {
    let now = host.ok("status box")?;
    ensure!(now == state, "{now}, not {state}");
    Ok(())
}

/// Tells that a machine gets its name after all its files are on the disk.
fn is_flushed(host: &Host, name: &str, line: &str) -> Result<()> {
    let list = flushes(host, line)?;
    let machines = host.store().join("machines");
    let begin = format!(".{name}.");
    let named = list.iter().position(|flush| match flush {
        Flush::Rename(path) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            path.parent() == Some(&machines) && file.starts_with(&begin)
        }
        Flush::Sync(_) => false,
    });
    let named = named.context("the draft was not renamed")?;
    let Flush::Rename(draft) = &list[named] else {
        unreachable!("the position of a rename");
    };
    let (before, after) = list.split_at(named);
    let is_before = |path| before.contains(&Flush::Sync(path));
    for entry in fs::read_dir(machines.join(name))? {
        let file = draft.join(entry?.file_name());
        ensure!(is_before(file.clone()), "{line}: {file:?}: {list:?}");
    }
    ensure!(is_before(draft.clone()), "{line}: {list:?}");
    ensure!(after.contains(&Flush::Sync(machines)), "{line}: {list:?}");
    Ok(())
}

#[test]
fn a_machine_gets_its_name_after_its_files_are_flushed() -> Result<()> {
    let host = Host::new()?;
    is_flushed(&host, "box", CREATE)?;
    is_flushed(&host, "copy", "clone box copy")
}

#[test]
fn create_is_killed() -> Result<()> {
    create(10)
}

#[test]
fn rm_is_killed() -> Result<()> {
    remove(10)
}

#[test]
#[ignore = "a minute or more for each command: make test-all"]
fn each_call_of_create() -> Result<()> {
    create(usize::MAX)
}

#[test]
#[ignore = "a minute or more for each command: make test-all"]
fn each_call_of_rm() -> Result<()> {
    remove(usize::MAX)
}
