// SPDX-License-Identifier: Apache-2.0
//! Sessions of people who log in: the name of the user, and the environment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use config::{Config, Rootless};
use log::warn;
use nix::errno::Errno;
use sys::error::{Doing, Result};
use sys::files::replace;
use sys::paths::{SESSION_PROFILE, SESSION_SSHD_CONFIG, USER_PODMAN_SOCKET};

use crate::bounded::bounded;

/// PATH of commands over ssh, which read no profile: people's tools call programs of sbin by
/// name.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// Socket of docker's clients, a link.
const DOCKER_SOCKET: &str = "/run/docker.sock";
/// Socket of root's podman, beside it.
const ROOT_SOCKET: &str = "podman/podman.sock";
/// Number of the user who may log in, and of that user's group.
const USER_ID: u32 = 1000;
/// Name that this user has in the image.
const DEFAULT_USER: &str = "core";
/// Time limit for making a home, in milliseconds.
const HOME_LIMIT_MS: i32 = 5_000;
/// Group that may read /etc/shadow.
const SHADOW_GID: u32 = 42;
/// Files of /etc that name the user.
const ACCOUNT_FILES: &[&str] = &["passwd", "group", "shadow", "subuid", "subgid"];

/// Names the user and writes the environment of sessions.
///
/// # Errors
/// A file cannot be read or written.
pub fn configure(config: &Config) -> Result<()> {
    rename_user(&config.user)?;
    link_docker_socket(config);
    let variables = config.variables();
    let sshd = sshd_config(&config.user, &variables);
    replace(Path::new(SESSION_SSHD_CONFIG), sshd.as_bytes(), 0o644)?;
    let profile = profile_script(&variables);
    replace(Path::new(SESSION_PROFILE), profile.as_bytes(), 0o644)
}

/// Leads docker's clients to root's podman, or to the user's.
fn link_docker_socket(config: &Config) {
    let own = format!("user/{}/{USER_PODMAN_SOCKET}", config.uid);
    let target = match config.rootless {
        Rootless::Default => own.as_str(),
        Rootless::On | Rootless::Off => ROOT_SOCKET,
    };
    if fs::read_link(DOCKER_SOCKET).is_ok_and(|link| link == Path::new(target)) {
        return;
    }
    let _ = fs::remove_file(DOCKER_SOCKET);
    symlink(target, DOCKER_SOCKET).unwrap_or_else(|e| warn!("{DOCKER_SOCKET}: {e}"));
}

/// Returns the SetEnv lines of sshd. The first SetEnv that applies is the only one
/// (sshd_config(5)), so each block has all variables. Rootless podman needs its runtime
/// directory.
fn sshd_config(user: &str, variables: &[(String, String)]) -> String {
    let path = variables.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let mut others = String::new();
    for (name, value) in variables.iter().filter(|(name, _)| name != "PATH") {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        others += &format!(" \"{name}={value}\"");
    }
    let path = path.replace('"', "");
    format!(
        "Match User {user}\n    SetEnv \"PATH={path}\" XDG_RUNTIME_DIR=/run/user/{USER_ID}{others}\n\
         Match all\n    SetEnv \"PATH={path}\"{others}\n"
    )
}

/// Returns the variables as a script for login shells of every kind.
fn profile_script(variables: &[(String, String)]) -> String {
    let export = |(name, value): &(String, String)| {
        format!("export {name}='{}'\n", value.replace('\'', "'\\''"))
    };
    variables.iter().map(export).collect()
}

/// Gives the user with number [`USER_ID`] a name, and a home of that name.
fn rename_user(name: &str) -> Result<()> {
    // The image has this name already; the root of a container is its owner's.
    if name == DEFAULT_USER {
        return Ok(());
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let before = user_name(&passwd, USER_ID)
        .unwrap_or(DEFAULT_USER)
        .to_owned();
    if before == name {
        return Ok(());
    }
    for file in ACCOUNT_FILES {
        let path = Path::new("/etc").join(file);
        let text = fs::read_to_string(&path).on(&path)?;
        let (mode, group) = match *file {
            "shadow" => (0o640, Some(SHADOW_GID)),
            _ => (0o644, None),
        };
        replace(&path, rename_in(&text, &before, name).as_bytes(), mode)?;
        if group.is_some() {
            chown(&path, None, group).on(&path)?;
        }
    }
    make_home(&before, name)
}

/// Makes a home for the new name. /home may be on a data disk that hangs, so a child does it.
fn make_home(before: &str, name: &str) -> Result<()> {
    let home = Path::new("/home").join(name);
    let make = || {
        // Only an empty home is removed.
        let _ = fs::remove_dir(Path::new("/home").join(before));
        fs::create_dir_all(&home)?;
        chown(&home, Some(USER_ID), Some(USER_ID))?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))
    };
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or_default());
    bounded(HOME_LIMIT_MS, || make().map_err(errno)).on(&home)
}

/// Returns the name of the user with this number in the text of passwd(5).
fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    let has_uid = |line: &&str| line.split(':').nth(2).is_some_and(|n| n.parse() == Ok(uid));
    passwd.lines().find(has_uid)?.split(':').next()
}

/// Replaces a name in the text of an account file, where the name is a whole field or a whole
/// item of a list, and at the end of the path of a home.
fn rename_in(text: &str, before: &str, name: &str) -> String {
    let home = format!("/home/{before}");
    let rename_item = |item: &str| match item {
        item if item == before => name.to_owned(),
        item if item == home => format!("/home/{name}"),
        item => item.to_owned(),
    };
    let rename_field = |field: &str| {
        let items: Vec<String> = field.split(',').map(rename_item).collect();
        items.join(",")
    };
    let rename_line = |line: &str| {
        let fields: Vec<String> = line.split(':').map(rename_field).collect();
        fields.join(":") + "\n"
    };
    text.lines().map(rename_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn each_session_has_all_of_it() {
        let all = pairs(&[("A", "one two"), ("B", r#"q"b\s"#)]);
        let text = sshd_config("me", &all);
        let more = r#" "A=one two" "B=q\"b\\s""#;
        let path = format!("SetEnv \"PATH={DEFAULT_PATH}\"");
        assert_eq!(
            text,
            format!(
                "Match User me\n    {path} XDG_RUNTIME_DIR=/run/user/1000{more}\n\
                 Match all\n    {path}{more}\n"
            )
        );
        let own = sshd_config("core", &pairs(&[("PATH", "/opt/bin:/usr/bin")]));
        assert!(own.contains("SetEnv \"PATH=/opt/bin:/usr/bin\" XDG") && !own.contains("sbin"));
    }

    #[test]
    fn a_shell_reads_the_same() {
        let text = profile_script(&pairs(&[("A", "it's"), ("B", "")]));
        assert_eq!(text, "export A='it'\\''s'\nexport B=''\n");
    }

    #[test]
    fn only_whole_names_are_replaced() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000:core:/home/core:/bin/bash\n";
        let group = "adm:x:4:core\nscore:x:5:hardcore,core,x\ncore:x:1000:\n";
        assert_eq!(user_name(passwd, 1000), Some("core"));
        assert_eq!(
            rename_in(passwd, "core", "me"),
            "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000:me:/home/me:/bin/bash\n"
        );
        assert_eq!(
            rename_in(group, "core", "me"),
            "adm:x:4:me\nscore:x:5:hardcore,me,x\nme:x:1000:\n"
        );
        assert_eq!(
            rename_in("core:100000:1000000\n", "core", "me"),
            "me:100000:1000000\n"
        );
    }
}
