// SPDX-License-Identifier: Apache-2.0
//! `b2p sshd`: listens for ssh and runs an sshd for each client, as inetd would.
//!
//! OpenSSH's own listener starts two processes, 1.4 MB, for each connection before a byte has
//! arrived. That listener can only refuse clients if there are many (`MaxStartups`), its user among
//! them, and distinguishes clients only by the address. Here a silent connection costs a socket,
//! and [`admission`] selects the served clients. A session with a login counts no longer.

mod admission;
mod cgroup;
mod container;
mod exec;
mod gate;
mod hello;
mod limit;
mod listener;
mod login;
mod session;

use sys::error::{Doing, Result};

pub use exec::exec_session;
pub use login::run_auth;

use admission::Limits;
use gate::Gate;

use crate::common::cpus;

/// Descriptors beside those of connections, and those of sessions while they start.
const SPARE_FILES: u64 = 256;

/// Serves until a signal ends the process; sessions continue. Returns the exit status of a failure.
pub fn main() -> i32 {
    match serve() {
        Ok(never) => match never {},
        Err(why) => {
            eprintln!("{why}");
            1
        }
    }
}

fn serve() -> Result<std::convert::Infallible> {
    // `pidof sshd` and ps(1) find this process by the name of the replaced program.
    let _ = nix::sys::prctl::set_name(c"sshd");
    let memory_mib = sys::memory::total().unwrap_or(0) / sys::memory::MIB;
    let limits = Limits::of_machine(memory_mib, cpus::count());
    limit::raise(limits.waiting as u64 + SPARE_FILES).doing("limit of open files")?;
    let admits_containers = sys::config_sources::read().0.container_ssh;
    let mut gate = Gate::open(listener::open()?, limits, admits_containers).doing("epoll")?;
    crate::common::notify::ready();
    cgroup::limit(limits, memory_mib);
    loop {
        gate.turn();
    }
}
