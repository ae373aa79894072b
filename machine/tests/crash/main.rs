// SPDX-License-Identifier: Apache-2.0
//! Commands and keepers, killed at a system call: afterwards the machines are told truly, and nothing
//! is left behind. `make test` kills at some calls, `make test-all` at each.

mod cost;
mod docker;
mod guest;
mod host;
mod hosts;
mod life;
mod odd;
mod orders;
mod trace;

use anyhow::{Context, Result, ensure};
use host::{CREATE, Host};
use nix::sys::wait::WaitStatus;
use trace::Shot;

/// Returns the calls at which to kill: `most` of them, or each.
fn points(calls: usize, most: usize) -> impl Iterator<Item = usize> {
    (1..=calls).step_by(calls.div_ceil(most).max(1))
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
