// SPDX-License-Identifier: Apache-2.0
//! Places of the root that no extension fills. Pure.

use std::path::Path;

/// Directories of the root in which extensions have files. The others are of PID 1, of the kernel or of
/// people; `/bin`, `/sbin` and `/lib` are links, and a file has one name.
const TOPS: &[&str] = &["usr", "etc", "opt", "srv", "var"];

/// Directories of programs, in the order of PATH (sys::session): the first program of a name runs.
pub const PROGRAM_DIRS: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Programs that the machine's own security and life depend on, whatever directory they are in.
const PROGRAMS: &[&str] = &[
    "aardvark-dns",
    "b2p",
    "busybox",
    "conmon",
    "crun",
    "halt",
    "init",
    "login",
    "modprobe",
    "netavark",
    "newgidmap",
    "newuidmap",
    "podman",
    "poweroff",
    "reboot",
    "shutdown",
    "sshd",
    "su",
    "sudo",
    "systemctl",
    "visudo",
];

/// Files and directories, without the leading slash, that decide who may do what, that the machine writes
/// itself, or that it acts on (podman's hooks, helpers and mounts, units, variables): no extension has one, also where
/// the machine has none. Services of an extension are those of its manifest.
const RESERVED: &[&str] = &[
    "etc/busybox.conf",
    "etc/containers/containers.conf",
    "etc/containers/containers.conf.d",
    "etc/containers/mounts.conf",
    "etc/containers/oci",
    "etc/containers/podman-machine",
    "etc/containers/storage.conf",
    "etc/containers/systemd",
    "etc/environment",
    "etc/environment.d",
    "etc/fstab",
    "etc/group",
    "etc/gshadow",
    "etc/host.conf",
    "etc/hostname",
    "etc/hosts",
    "etc/hosts.equiv",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ld.so.preload",
    "etc/localtime",
    "etc/machine-id",
    "etc/motd",
    "etc/mtab",
    "etc/netgroup",
    "etc/nologin",
    "etc/nsswitch.conf",
    "etc/os-release",
    "etc/pam.conf",
    "etc/pam.d",
    "etc/passwd",
    "etc/podman-machine",
    "etc/profile",
    "etc/resolv.conf",
    "etc/securetty",
    "etc/security",
    "etc/shadow",
    "etc/shells",
    "etc/ssh",
    "etc/subgid",
    "etc/subuid",
    "etc/sudo.conf",
    "etc/sudoers",
    "etc/sudoers.d",
    "etc/sysctl.conf",
    "etc/sysctl.d",
    "etc/systemd",
    "etc/timezone",
    "etc/tmpfiles.d",
    "usr/lib/boot2podman/conmon",
    "usr/lib/boot2podman/init",
    "usr/lib/boot2podman/sshd-auth",
    "usr/lib/boot2podman/sshd-session",
    "usr/lib/openssh",
    "usr/lib/os-release",
    "usr/lib/pam.d",
    "usr/lib/sysctl.d",
    "usr/libexec/podman",
    "usr/libexec/sudo",
    "usr/share/boot2podman/hooks.d",
    "usr/share/containers/mounts.conf",
    "usr/share/containers/systemd",
    "var/lib/boot2podman",
    "var/lib/containers",
    "var/lock",
    "var/log",
    "var/run",
    "var/tmp",
];

/// Returns true if an extension may have files at this absolute path at all.
pub fn is_inside(path: &Path) -> bool {
    let mut components = path.components().skip(1);
    let top = components.next().map(|c| c.as_os_str().to_string_lossy());
    top.is_some_and(|top| TOPS.contains(&&*top)) && components.next().is_some()
}

/// Returns true if the absolute path is one of the machine's own, or below one.
pub fn is_reserved(path: &Path) -> bool {
    let mut places = RESERVED.iter();
    places.any(|place| path.starts_with(Path::new("/").join(place)))
}

/// Returns true if one of the machine's own places is below the absolute path: by a link there, another link
/// would lead to it.
pub fn leads_to_reserved(path: &Path) -> bool {
    let mut places = RESERVED.iter();
    places.any(|place| Path::new("/").join(place).starts_with(path))
}

/// Returns the directory of programs that has this absolute path, and the name of the program.
pub fn program(path: &Path) -> Option<(&'static str, &str)> {
    let dir = path.parent()?.to_str()?;
    let dir = PROGRAM_DIRS.iter().find(|known| **known == dir)?;
    Some((dir, path.file_name()?.to_str()?))
}

/// Returns true for a program of the machine that none of an extension replaces or precedes.
pub fn is_reserved_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_for_extensions_or_not() {
        for (path, inside, reserved) in [
            ("/usr/bin/strace", true, false),
            ("/etc/idmapd.conf", true, false),
            ("/etc/passwd", true, true),
            ("/etc/passwd-", true, false),
            ("/etc/ssh/sshd_config.d/x.conf", true, true),
            ("/etc/sudoers.d/x", true, true),
            ("/etc/nologin", true, true),
            ("/usr/lib/pam.d/su", true, true),
            ("/usr/share/containers/seccomp.json", true, false),
            ("/usr/share/containers/mounts.conf", true, true),
            ("/usr/lib/sysctl.d/50-x.conf", true, true),
            ("/etc/containers/registries.conf.d/x.conf", true, false),
            ("/lib/x", false, false),
            ("/usr/share/boot2podman/hooks.d/x.json", true, true),
            ("/usr/share/boot2podman/desktop/welcome.html", true, false),
            ("/usr/lib/boot2podman/init", true, true),
            ("/usr/lib/boot2podman/services/statd", true, false),
            ("/usr/lib/boot2podman/desktop/session", true, false),
            ("/var/lib/boot2podman/services/x", true, true),
            ("/var/lib/nfs/x", true, false),
            ("/usr", false, false),
            ("/init", false, false),
            ("/", false, false),
            ("/root/.ssh/authorized_keys", false, false),
            ("/run/boot2podman/x", false, false),
            ("/dev/null", false, false),
        ] {
            let path = Path::new(path);
            assert_eq!(is_inside(path), inside, "{path:?}");
            assert_eq!(is_reserved(path), reserved, "{path:?}");
        }
        let (dir, name) = program(Path::new("/usr/local/bin/sshd")).unwrap_or_default();
        assert_eq!((dir, is_reserved_program(name)), ("/usr/local/bin", true));
        assert_eq!(program(Path::new("/usr/lib/sshd")), None);
        for (path, expected) in [
            ("/etc/containers", true),
            ("/var/lib", true),
            ("/etc/shadow", true),
            ("/etc/X11", false),
            ("/var/lib/nfs", false),
        ] {
            assert_eq!(leads_to_reserved(Path::new(path)), expected, "{path}");
        }
    }
}
