// SPDX-License-Identifier: Apache-2.0
//! `b2p sshd`: listens for ssh and runs an sshd for each client, as inetd would.
//!
//! OpenSSH's own listener starts two processes, 1.4 MB, for each connection before a byte has
//! arrived. It can only refuse clients where there are many (`MaxStartups`), its user among
//! them, and tells clients apart by nothing but the address. Here a connection that says nothing
//! costs a socket; [`admission`] decides who is served. A session with a login counts no longer.

mod admission;
mod cgroup;
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

/// Descriptors beside those of connections, and those of sessions while they start.
const SPARE_FILES: u64 = 256;

/// Serves until it is killed; sessions live on. Returns the exit status if it cannot.
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
    // `pidof sshd` and ps(1) find it by the name that it stands in for.
    let _ = nix::sys::prctl::set_name(c"sshd");
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let memory_mib = listener::memory_mib(&meminfo);
    let limits = Limits::of_machine(memory_mib, cpus);
    limit::raise(limits.waiting as u64 + SPARE_FILES).doing("limit of open files")?;
    let mut gate = Gate::open(listener::open()?, limits).doing("epoll")?;
    crate::common::notify::ready();
    cgroup::limit(limits, memory_mib);
    loop {
        gate.turn();
    }
}
