// SPDX-License-Identifier: Apache-2.0
//! The step between a login and its session: the processes of the session are counted to the user
//! and no longer to sshd.
//!
//! sshd-session runs sshd-auth until the key is proven, and waits for its end before it starts
//! anything for the user (sshd-session.c, `privsep_preauth`). `SshdAuthPath` names this program in
//! between, so that the moment after a login and before the session is root's, for each user
//! alike, without PAM and without a program that is setuid. The title of sshd-session tells the
//! user: the process has no other mark of them yet (monitor.c, `mm_answer_pwnamallow`).

use std::fs;
use std::io::Write;
use std::process::Command;

use sys::error::{Doing, Error, Result};
use sys::user_cgroup;

use crate::helpers::engine::PodmanUser;

/// Path of sshd-auth, which drops its privileges itself.
const AUTH: &str = "/usr/lib/openssh/sshd-auth";

/// Runs sshd-auth, and after a login moves sshd-session into the cgroup of the user. Returns the
/// exit status of sshd-auth: a session in the wrong cgroup is better than none.
pub fn run_auth(arguments: &[String]) -> i32 {
    let status = Command::new(AUTH).args(arguments).status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => {
            let session = std::os::unix::process::parent_id();
            if let Err(why) = place(session) {
                eprintln!("session {session}: its containers have no limits: {why}");
            }
            0
        }
        Ok(code) => code.unwrap_or(255),
        Err(why) => {
            eprintln!("{AUTH}: {why}");
            255
        }
    }
}

/// Makes the directories of the user whose session this is, and moves it.
fn place(session: u32) -> Result<()> {
    let path = format!("/proc/{session}/cmdline");
    let title = fs::read(&path).on(&path)?;
    let title = String::from_utf8_lossy(&title);
    let name = user_of(&title)
        .ok_or_else(|| Error::invalid("no user"))
        .on(&path)?;
    let passwd = sys::files::read_text("/etc/passwd")?;
    let user = PodmanUser::with_name(&passwd, name).ok_or_else(|| Error::invalid("unknown"));
    let user = user.doing(name.to_owned())?;
    user.make_directories()?;
    let mut procs = user_cgroup::open_procs(user.uid, user.gid, user_cgroup::SESSION)?;
    write!(procs, "{session}").doing("cgroup.procs")
}

/// Returns the user in the title of a sshd-session.
fn user_of(title: &str) -> Option<&str> {
    let (name, _) = title
        .strip_prefix("sshd-session: ")?
        .rsplit_once(" [priv]")?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_tells_the_user() {
        for (title, want) in [
            ("sshd-session: core [priv]\0\0", Some("core")),
            ("sshd-session: a b [priv]", Some("a b")),
            ("sshd-session: [accepted]\0", None),
            ("sshd-session: core@pts/0\0", None),
            ("/usr/sbin/sshd\0-i\0", None),
            ("", None),
        ] {
            assert_eq!(user_of(title), want, "{title}");
        }
    }
}
