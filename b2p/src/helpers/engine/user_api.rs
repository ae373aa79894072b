// SPDX-License-Identifier: Apache-2.0
//! `b2p podman-user`: the API service of a user's own podman, as the user, on the socket that PID 1
//! holds.
//!
//! podman of a user without a pause process makes one, which holds the user's namespaces. If
//! another podman of the user makes one at the same moment, the first may close its inherited
//! socket and end with status 125 (pkg/rootless/rootless_linux.c, `reexec_userns_join`). With a
//! pause process, podman first joins the namespaces. So the pause process is made beforehand, by a
//! podman without a socket, for which the race is harmless.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::getuid;
use sys::files::read_bounded;

use sys::paths::PODMAN_PROGRAM;

use super::{PodmanUser, logins};
use crate::common::listen_fds;

/// Longest number of a process in a file, in bytes.
const MAX_PID_BYTES: u64 = 32;
/// Variables that describe the socket (sd_listen_fds(3)).
const LISTEN: [&str; 2] = ["LISTEN_FDS", "LISTEN_PID"];

/// Executes podman; returns the exit status of a failure.
pub fn main() -> i32 {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let Some(user) = PodmanUser::with_uid(&passwd, getuid().as_raw()) else {
        eprintln!("podman-user: no user has the number {}", getuid());
        return 1;
    };
    logins::restore(&user).unwrap_or_else(|why| eprintln!("log-ins at registries: {why}"));
    let why = become_podman(&user);
    eprintln!("{PODMAN_PROGRAM}: {why}");
    1
}

fn become_podman(user: &PodmanUser) -> io::Error {
    let Some(socket) = listen_fds::inherited_socket() else {
        return io::Error::other("PID 1 has passed no socket");
    };
    if !has_pause_process(user) {
        let mut unshare = Command::new(PODMAN_PROGRAM);
        LISTEN.iter().for_each(|name| {
            unshare.env_remove(name);
        });
        let made = with_home(&mut unshare, user)
            .args(["unshare", "true"])
            .stdin(Stdio::null())
            .status();
        match made {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("podman unshare: {status}"),
            Err(e) => return e,
        }
    }
    if let Err(e) = fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())) {
        return e.into();
    }
    with_home(&mut Command::new(PODMAN_PROGRAM), user)
        .args(["system", "service"])
        .exec()
}

/// Sets the variables that name the user.
fn with_home<'a>(command: &'a mut Command, user: &PodmanUser) -> &'a mut Command {
    command
        .env("HOME", &user.home)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .current_dir("/")
}

/// Returns true if the user has a pause process: the file names a process in another user
/// namespace.
fn has_pause_process(user: &PodmanUser) -> bool {
    let path = user.runtime_dir().join("libpod/tmp/pause.pid");
    let text = read_bounded(&path, MAX_PID_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let namespace = |pid: &str| fs::read_link(Path::new("/proc").join(pid).join("ns/user")).ok();
    let pid = text.trim().parse::<u32>().map(|pid| pid.to_string());
    let pause = pid.ok().and_then(|pid| namespace(&pid));
    pause.is_some() && pause != namespace("self")
}
