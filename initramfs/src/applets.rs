//! Busybox's commands: a link for each that no real tool provides and that belongs in
//! this machine.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::tools;
use crate::tree::Tree;

/// Left out, and why. A command that is missing says so; one that does the wrong thing
/// does it silently.
const UNWANTED: &[(&str, &str)] = &[
    (
        "init linuxrc run-init switch_root resume halt poweroff reboot modprobe",
        "PID 1's own",
    ),
    (
        "start-stop-daemon svc svok watchdog crond crontab",
        "PID 1 keeps the services",
    ),
    (
        "mdev uevent",
        "PID 1 loads the drivers, devtmpfs makes the nodes",
    ),
    (
        "ifup ifdown udhcpc udhcpc6 udhcpd dumpleases",
        "PID 1 keeps the network",
    ),
    (
        "login getty su sulogin passwd mkpasswd cttyhack",
        "no passwords here; sudo is there",
    ),
    (
        "httpd telnetd ftpget ftpput",
        "no servers or clients of that age",
    ),
    ("syslogd klogd logread acpid", "the kernel log is the log"),
    ("dpkg dpkg-deb rpm rpm2cpio", "no packages here"),
    (
        "depmod",
        "the image is read-only; modules.dep is made with it",
    ),
    ("mke2fs", "e2fsprogs has the real one"),
    ("busybox sh", "already there"),
    ("bash", "the real one is there"),
];

/// The applets of this busybox (static, so it runs on the host), as `usr/bin/awk`.
pub fn list(busybox: &Path) -> Result<Vec<String>> {
    let output = tools::run(
        Command::new(busybox).arg("--list-full"),
        "busybox --list-full",
    )?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(place)
        .collect())
}

/// Where an applet's link goes in a merged /usr, unless it is unwanted.
fn place(applet: &str) -> Option<String> {
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

/// Links every applet whose name no other program in the tree has.
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
    fn applets_go_where_merged_usr_has_them() {
        assert_eq!(place("bin/cat").as_deref(), Some("usr/bin/cat"));
        assert_eq!(place("sbin/ip").as_deref(), Some("usr/sbin/ip"));
        assert_eq!(place("usr/sbin/chroot").as_deref(), Some("usr/sbin/chroot"));
        assert_eq!(place("linuxrc"), None);
        assert_eq!(place("sbin/poweroff"), None);
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
