// SPDX-License-Identifier: Apache-2.0
//! Links for the commands of busybox, except for those that a real tool provides and those that do
//! not belong in this machine.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::tools;
use crate::tree::Tree;

/// Commands that are left out, each with the reason. A missing command is reported by the shell; a
/// command that does the wrong thing fails silently.
const UNWANTED: &[(&str, &str)] = &[
    (
        "init linuxrc run-init switch_root resume modprobe",
        "the program init is PID 1, and loads modules",
    ),
    ("halt poweroff reboot", "b2p has these commands"),
    (
        "start-stop-daemon svc svok",
        "PID 1 supervises the services",
    ),
    ("crond crontab", "service files name the times of services"),
    (
        "watchdog",
        "the kernel feeds a watchdog until a program opens it",
    ),
    (
        "mdev uevent",
        "PID 1 loads the drivers, devtmpfs makes the nodes",
    ),
    (
        "ifup ifdown udhcpc udhcpc6 udhcpd dumpleases",
        "a service configures the network",
    ),
    (
        "login getty su sulogin passwd mkpasswd cttyhack",
        "no passwords here; sudo is there",
    ),
    (
        "httpd telnetd ftpget ftpput",
        "telnet, FTP and HTTP are not served, and there is no FTP client",
    ),
    ("syslogd klogd logread", "the kernel log is the log"),
    ("acpid", "PID 1 reads the power buttons"),
    ("dpkg dpkg-deb rpm rpm2cpio", "no packages here"),
    (
        "depmod",
        "the image is read-only; modules.dep is made at build time",
    ),
    ("mke2fs", "e2fsprogs has the real one"),
    ("busybox sh", "already there"),
    ("bash", "the real one is there"),
];

/// Returns the paths of this busybox's commands in a merged /usr, as `usr/bin/awk`. The program is
/// static, of the host's architecture, and has the same commands on each.
pub fn list(busybox: &Path) -> Result<Vec<String>> {
    let output = tools::run(
        Command::new(busybox).arg("--list-full"),
        "busybox --list-full",
    )?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(merged_path)
        .collect())
}

/// Returns the path of an applet's link in a merged /usr, or nothing for an unwanted one.
fn merged_path(applet: &str) -> Option<String> {
    let name = applet.rsplit('/').next()?;
    if UNWANTED
        .iter()
        .any(|(names, _)| names.split(' ').any(|n| n == name))
    {
        return None;
    }
    let system = applet.starts_with("sbin/") || applet.starts_with("usr/sbin/");
    Some(format!(
        "usr/{}/{name}",
        if system { "sbin" } else { "bin" }
    ))
}

/// Adds a link for every applet whose name no other program in the tree has.
pub fn link(tree: &mut Tree, applets: &[String]) {
    for path in applets {
        let name = path.rsplit('/').next().unwrap_or(path);
        let taken = ["usr/bin", "usr/sbin"]
            .iter()
            .any(|dir| tree.has(&format!("{dir}/{name}")));
        if !taken {
            let target = if path.starts_with("usr/sbin/") {
                "../bin/busybox"
            } else {
                "busybox"
            };
            tree.link(path, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn applets_are_linked_in_merged_usr() {
        assert_eq!(merged_path("bin/cat").as_deref(), Some("usr/bin/cat"));
        assert_eq!(merged_path("sbin/ip").as_deref(), Some("usr/sbin/ip"));
        assert_eq!(
            merged_path("usr/sbin/chroot").as_deref(),
            Some("usr/sbin/chroot")
        );
        assert_eq!(merged_path("linuxrc"), None);
        assert_eq!(merged_path("sbin/poweroff"), None);
    }

    #[test]
    fn a_real_tool_is_not_covered() {
        let mut tree = Tree::new();
        tree.bytes("usr/bin/mount", "real", 0o755);
        link(&mut tree, &["usr/sbin/mount".into(), "usr/sbin/ip".into()]);
        assert!(!tree.has("usr/sbin/mount"));
        let ip = tree.get("usr/sbin/ip").map(|e| e.node.clone());
        assert_eq!(ip, Some(Node::Link("../bin/busybox".into())));
    }
}
