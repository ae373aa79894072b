// SPDX-License-Identifier: Apache-2.0
//! Tables of the userland: paths of the packages, and directories, links, mount points and modes
//! that are in no package, each with a reason.

/// Paths of the fetched packages: a file, a link with its target, or a whole directory. Libraries
/// are listed only if no ELF header names them, and `{libraries}` is their directory
/// ([`crate::arch::Arch::libraries`]).
pub const PICKS: &[(&str, &str)] = &[
    ("bin", "merged /usr"),
    ("sbin", "merged /usr"),
    ("lib", "merged /usr"),
    // Containers.
    (
        "usr/bin/podman",
        "the engine, its API service and the docker command",
    ),
    ("usr/bin/crun", "runs the containers"),
    ("usr/bin/conmon", "one per container"),
    (
        "usr/libexec/podman/rootlessport",
        "published ports of rootless containers",
    ),
    (
        "usr/libexec/podman/quadlet",
        "turns .container files into units; `b2p user-services` runs it, if there are any",
    ),
    ("usr/lib/podman/netavark", "networks"),
    ("usr/lib/podman/aardvark-dns", "names between containers"),
    ("usr/sbin/nft", "netavark's nftables driver runs it"),
    ("usr/bin/passt", "pasta is this program under another name"),
    ("usr/bin/newuidmap", "rootless user namespaces"),
    ("usr/bin/newgidmap", "rootless user namespaces"),
    (
        "usr/share/containers/seccomp.json",
        "what a container may ask the kernel",
    ),
    // Login.
    ("usr/sbin/sshd", "listens"),
    (
        "usr/lib/openssh/sshd-session",
        "sshd runs one per connection",
    ),
    (
        "usr/lib/openssh/sshd-auth",
        "sshd-session runs it until the key is proven",
    ),
    (
        "usr/lib/openssh/sftp-server",
        "sshd configurations of users name this path",
    ),
    (
        "usr/bin/ssh-keygen",
        "users' own keys; `b2p key list` runs it",
    ),
    ("usr/bin/scp", "old clients' scp"),
    ("usr/bin/sudo", "core becomes root"),
    (
        "usr/libexec/sudo/sudoers.so",
        "sudo's policy; loaded with dlopen",
    ),
    (
        "usr/libexec/sudo/sudo_noexec.so",
        "sudo complains without it; loaded with dlopen",
    ),
    (
        "{libraries}/security/pam_permit.so",
        "sudo's PAM stack; dlopen",
    ),
    ("{libraries}/security/pam_deny.so", "PAM's fallback; dlopen"),
    (
        "usr/bin/ps",
        "podman top and docker top with options run it",
    ),
    ("usr/bin/bash", "the shell"),
    ("usr/bin/dash", "sh"),
    // Disks.
    ("usr/sbin/mke2fs", "data disks"),
    ("usr/sbin/mkfs.ext4", "data disks"),
    ("usr/sbin/e2fsck", "data disks"),
    ("usr/sbin/fsck.ext4", "data disks"),
    ("usr/sbin/resize2fs", "data disks that grew"),
    ("usr/sbin/tune2fs", "data disks"),
    ("usr/bin/chattr", "podman machine runs it for each volume"),
    ("usr/bin/lsattr", "shows what chattr sets"),
    ("etc/mke2fs.conf", "mke2fs's defaults"),
    (
        "usr/bin/mount",
        "knows context=, X- options and helpers; busybox does not",
    ),
    ("usr/bin/umount", "knows helpers; busybox does not"),
    ("usr/sbin/blkid", "labels and UUIDs"),
    ("usr/bin/lsblk", "lists disks"),
    // Data.
    (
        "etc/protocols",
        "programs in the machine look names up there",
    ),
    (
        "etc/services",
        "programs in the machine look names up there",
    ),
    ("etc/login.defs", "newuidmap reads it"),
    (
        "usr/share/terminfo/d/dumb",
        "common terminal of ssh clients",
    ),
    ("usr/share/terminfo/l/linux", "the console"),
    (
        "usr/share/terminfo/s/screen",
        "common terminal of ssh clients",
    ),
    (
        "usr/share/terminfo/s/screen-256color",
        "common terminal of ssh clients",
    ),
    (
        "usr/share/terminfo/t/tmux-256color",
        "common terminal of ssh clients",
    ),
    ("usr/share/terminfo/v/vt100", "serial consoles"),
    ("usr/share/terminfo/v/vt220", "serial consoles"),
    (
        "usr/share/terminfo/x/xterm",
        "common terminal of ssh clients",
    ),
    (
        "usr/share/terminfo/x/xterm-256color",
        "common terminal of ssh clients",
    ),
    // Time zones: tz=, and podman run --tz.
    ("usr/share/zoneinfo/Africa", "time zones"),
    ("usr/share/zoneinfo/America", "time zones"),
    ("usr/share/zoneinfo/Antarctica", "time zones"),
    ("usr/share/zoneinfo/Arctic", "time zones"),
    ("usr/share/zoneinfo/Asia", "time zones"),
    ("usr/share/zoneinfo/Atlantic", "time zones"),
    ("usr/share/zoneinfo/Australia", "time zones"),
    ("usr/share/zoneinfo/Etc", "time zones"),
    ("usr/share/zoneinfo/Europe", "time zones"),
    ("usr/share/zoneinfo/Indian", "time zones"),
    ("usr/share/zoneinfo/Pacific", "time zones"),
    ("usr/share/zoneinfo/GMT", "time zones"),
    ("usr/share/zoneinfo/UTC", "time zones"),
    // Libraries that no ELF header names.
    (
        "{libraries}/libgcc_s.so.1",
        "glibc dlopens it when a thread is cancelled",
    ),
];

/// Directories that must exist, some only as mount points.
pub const DIRECTORIES: &[(&str, &str)] = &[
    ("dev", "mount point"),
    ("proc", "mount point"),
    ("sys", "mount point"),
    ("run", "mount point"),
    ("tmp", "mount point"),
    ("mnt", "users' mount point"),
    ("media", "users' mount point"),
    ("srv", "programs expect it"),
    ("opt", "programs expect it"),
    ("root", "home directory"),
    ("home/core", "home directory"),
    ("etc/ssh", "the host key"),
    (
        "etc/profile.d",
        "podman machine writes proxy settings there",
    ),
    ("etc/sudoers.d", "users' additions"),
    ("etc/containers", "users' settings"),
    ("etc/containers/registries.conf.d", "users' settings"),
    (
        "etc/containers/oci/hooks.d",
        "users' additions; podman requires the directory",
    ),
    (
        "usr/share/containers/oci/hooks.d",
        "owners' containers.conf may name it; podman requires the directory",
    ),
    ("etc/cni/net.d", "podman looks there"),
    (
        "etc/pki/ca-trust/source/anchors",
        "podman machine 6 copies the host's certificate authorities there",
    ),
    ("usr/local/bin", "on PATH"),
    ("usr/local/sbin", "on PATH"),
    ("usr/lib/boot2podman", "PID 1"),
    ("var/cache", "programs expect it"),
    ("var/empty", "sshd's empty directory for older builds"),
    (
        "var/lib/boot2podman",
        "state of the machine; on the data disk",
    ),
    ("var/lib/containers", "state of podman; on the data disk"),
    ("var/log", "programs expect it"),
    ("var/spool", "programs expect it"),
    ("var/tmp", "podman unpacks images there"),
];

/// Links that Debian does not have: path, target, reason.
pub const LINKS: &[(&str, &str, &str)] = &[
    ("usr/bin/pasta", "passt", "Debian has a hard link"),
    (
        "usr/bin/sh",
        "dash",
        "busybox's shell would run its own applets whatever is on PATH",
    ),
    ("etc/mtab", "../proc/self/mounts", "old programs read it"),
    ("etc/os-release", "../usr/lib/os-release", "os-release(5)"),
    (
        "etc/resolv.conf",
        "../run/boot2podman/resolv.conf",
        "the network service writes it",
    ),
    (
        "etc/localtime",
        "/usr/share/zoneinfo/Etc/UTC",
        "many compose files mount it in containers; tz= replaces it",
    ),
    ("var/run", "../run", "/var/run/docker.sock"),
    ("var/lock", "../run/lock", "old programs"),
    (
        "usr/sbin/init",
        "../lib/boot2podman/init",
        "other name of PID 1",
    ),
    (
        "usr/sbin/modprobe",
        "../lib/boot2podman/init",
        "the kernel runs /sbin/modprobe",
    ),
    (
        "usr/sbin/poweroff",
        "../bin/b2p",
        "the kernel runs /sbin/poweroff",
    ),
    (
        "usr/sbin/reboot",
        "../bin/b2p",
        "the kernel runs /sbin/reboot",
    ),
    (
        "usr/bin/catatonit",
        "../libexec/podman/catatonit",
        "its path in Debian",
    ),
    ("usr/sbin/halt", "../bin/b2p", "users run it"),
    ("usr/sbin/shutdown", "../bin/b2p", "users run it"),
    (
        "usr/bin/ping",
        "b2p",
        "busybox's needs a raw socket, which only root may open",
    ),
    ("usr/bin/ping6", "b2p", "the same"),
    (
        "usr/sbin/apparmor_parser",
        "../bin/b2p",
        "podman runs it to load the profile of containers",
    ),
    (
        "usr/bin/systemctl",
        "b2p",
        "scripts run it to power off, reboot, start and stop",
    ),
    (
        "usr/bin/journalctl",
        "b2p",
        "people and scripts read the log of a unit with it",
    ),
    (
        "usr/bin/varlink",
        "b2p",
        "users and their ssh bridges run it",
    ),
    ("usr/bin/loginctl", "b2p", "Lima's boot script runs it"),
    (
        "usr/sbin/rc-service",
        "../bin/b2p",
        "Lima's boot script starts its guest agent by it",
    ),
    ("usr/sbin/rc-update", "../bin/b2p", "the same"),
    (
        "usr/sbin/sysctl",
        "../bin/b2p",
        "Lima's boot script gives --system, which busybox's does not know",
    ),
    (
        "usr/bin/systemd-tmpfiles",
        "b2p",
        "podman machine runs it after `set --rootful`",
    ),
    (
        "usr/bin/update-ca-trust",
        "b2p",
        "podman machine 6 runs it after it has copied the host's certificates",
    ),
    (
        "usr/sbin/mount.virtiofs",
        "../bin/b2p",
        "mount(8) runs it; podman machine 6 mounts over /etc/containers",
    ),
    (
        "usr/lib/boot2podman/conmon",
        "../../bin/b2p",
        "podman runs it for each container (containers.conf)",
    ),
    (
        "usr/lib/boot2podman/sshd-session",
        "../../bin/b2p",
        "sshd runs it for each connection (sshd_config)",
    ),
    (
        "usr/lib/boot2podman/sshd-auth",
        "../../bin/b2p",
        "sshd-session runs it for each login (sshd_config)",
    ),
];

/// Empty files over which PID 1 mounts those of the initrd, so that the image contains no second
/// copy.
pub const BIND_TARGETS: &[(&str, &str)] = &[
    ("usr/lib/boot2podman/init", "/init of the initrd"),
    (
        "usr/libexec/podman/catatonit",
        "/init of the initrd: podman run --init, pods, and what holds a user's namespaces. A mount \
         and no link, because podman copies and mounts the file, and its name decides what it is",
    ),
    ("usr/bin/b2p", "/bin/b2p of the initrd"),
    ("usr/bin/busybox", "/bin/busybox of the initrd"),
];

/// Modes and owners other than the default: path, mode, uid, gid, reason.
pub const MODES: &[(&str, u32, u32, u32, &str)] = &[
    ("usr/bin/sudo", 0o4755, 0, 0, "runs as root"),
    (
        "usr/bin/newuidmap",
        0o4755,
        0,
        0,
        "maps subordinate ids, which needs root",
    ),
    (
        "usr/bin/newgidmap",
        0o4755,
        0,
        0,
        "maps subordinate ids, which needs root",
    ),
    (
        "usr/lib/boot2podman/init",
        0o755,
        0,
        0,
        "as the file that is mounted over it",
    ),
    (
        "usr/libexec/podman/catatonit",
        0o755,
        0,
        0,
        "as the file that is mounted over it",
    ),
    (
        "usr/bin/b2p",
        0o755,
        0,
        0,
        "as the file that is mounted over it",
    ),
    ("usr/bin/docker", 0o755, 0, 0, "a script that users run"),
    (
        "usr/bin/busybox",
        0o755,
        0,
        0,
        "as the file that is mounted over it",
    ),
    ("tmp", 0o1777, 0, 0, "writable by all users"),
    ("var/tmp", 0o1777, 0, 0, "writable by all users"),
    ("root", 0o700, 0, 0, "private"),
    ("home/core", 0o700, 1000, 1000, "private, owned by core"),
    ("etc/shadow", 0o640, 0, 42, "group shadow, as Debian has it"),
    ("etc/sudoers", 0o440, 0, 0, "sudo refuses another mode"),
];
