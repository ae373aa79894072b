// SPDX-License-Identifier: Apache-2.0
//! The step between a login and its session: the processes of the session are counted to the user
//! and no longer to sshd.
//!
//! sshd-session runs sshd-auth until the key is proven, and waits for its end before it starts any
//! program for the user (sshd-session.c, `privsep_preauth`). `SshdAuthPath` names this program in
//! between, so that the moment after a login and before the session is root's, for each user alike,
//! without PAM and without a program that is setuid. The title of sshd-session names the user: the
//! process has no other mark of the user yet (monitor.c, `mm_answer_pwnamallow`).

use std::fs;
use std::process::Command;

use sys::error::{Doing, Error, Result};
use sys::user_cgroup;

use super::cgroup;
use crate::helpers::engine::PodmanUser;

/// Path of sshd-auth, which drops its privileges itself.
const AUTH: &str = "/usr/lib/openssh/sshd-auth";

/// Runs sshd-auth, and after a login moves sshd-session into a cgroup of the user. Returns the exit status of
/// sshd-auth, or 255, which ends the session, if the session would count to sshd: its user could take all
/// processes that sshd may have, and block other logins. A session of root stays, because root can do that in
/// other ways.
pub fn run_auth(arguments: &[String]) -> i32 {
    let status = Command::new(AUTH).args(arguments).status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => admit(std::os::unix::process::parent_id()),
        Ok(code) => code.unwrap_or(255),
        Err(why) => {
            eprintln!("{AUTH}: {why}");
            255
        }
    }
}

/// Moves a session after its login; returns the exit status.
fn admit(session: u32) -> i32 {
    let user = user(session);
    let moved = match &user {
        Ok(user) => {
            if let Err(why) = user.make_directories() {
                eprintln!("session {session}: {why}");
            }
            user_cgroup::enter(user.uid, user.gid, user_cgroup::SESSION, session)
        }
        Err(why) => Err(why.clone()),
    };
    let Err(why) = moved else { return 0 };
    let own = fs::read_to_string(format!("/proc/{session}/cgroup"));
    match may_stay(
        user.map_or(None, |user| Some(user.uid)),
        &own.unwrap_or_default(),
    ) {
        true => {
            eprintln!("session {session}: its containers have no limits: {why}");
            0
        }
        false => {
            eprintln!("session {session}: refused, it has no cgroup but sshd's: {why}");
            255
        }
    }
}

/// Returns true if a session that no cgroup of its user takes may continue in its own one, given the text of
/// proc_pid_cgroup(5): one of root, or on a machine without cgroups.
fn may_stay(uid: Option<u32>, own: &str) -> bool {
    uid == Some(0) || cgroup::of_service(own).is_none()
}

/// Returns the user of the session.
fn user(session: u32) -> Result<PodmanUser> {
    let path = format!("/proc/{session}/cmdline");
    let title = fs::read(&path).on(&path)?;
    let title = String::from_utf8_lossy(&title);
    let name = user_of(&title)
        .ok_or_else(|| Error::invalid("no user"))
        .on(&path)?;
    let passwd = sys::files::read_text("/etc/passwd")?;
    let user = PodmanUser::with_name(&passwd, name).ok_or_else(|| Error::invalid("unknown"));
    user.doing(name.to_owned())
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
    fn only_root_stays_in_the_cgroup_of_sshd() {
        let own = "0::/system/sshd\n";
        for (uid, own, stays) in [
            (Some(1001), own, false),
            (None, own, false),
            (Some(0), own, true),
            (Some(1001), "0::/user/1001/session\n", true),
            (Some(1001), "", true),
        ] {
            assert_eq!(may_stay(uid, own), stays, "{uid:?} {own}");
        }
    }

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
