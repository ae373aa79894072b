//! The tables: what is taken, made, linked and owned in the userland, and why.

/// Taken from the fetched tree: a file, a link with what it leads to, or a whole
/// directory. Libraries stand here only when nothing names them in its ELF header.
pub const PICKS: &[(&str, &str)] = &[
    ("bin", "merged /usr"),
    ("sbin", "merged /usr"),
    ("lib", "merged /usr"),
    (
        "lib64",
        "merged /usr; every program's interpreter is /lib64/ld-linux-x86-64.so.2",
    ),
    // Containers.
    (
        "usr/bin/podman",
        "the engine, its API service and the docker command",
    ),
    ("usr/bin/crun", "runs the containers"),
    ("usr/bin/conmon", "one per container"),
    ("usr/bin/catatonit", "podman run --init"),
    ("usr/libexec/podman/catatonit", "where podman looks for it"),
    (
        "usr/libexec/podman/rootlessport",
        "published ports of rootless containers",
    ),
    ("usr/lib/podman/netavark", "networks"),
    ("usr/lib/podman/aardvark-dns", "names between containers"),
    ("usr/sbin/nft", "netavark's nftables driver runs it"),
    ("usr/bin/passt", "pasta is this program under another name"),
    (
        "usr/bin/passt.avx2",
        "what passt becomes where it can; it complains otherwise",
    ),
    ("usr/bin/newuidmap", "rootless user namespaces"),
    ("usr/bin/newgidmap", "rootless user namespaces"),
    (
        "usr/share/containers/seccomp.json",
        "what a container may ask the kernel",
    ),
    // The way in.
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
        "people with another Subsystem line expect it there",
    ),
    (
        "usr/bin/ssh-keygen",
        "people's own keys; `b2p key list` asks it",
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
        "usr/lib/x86_64-linux-gnu/security/pam_permit.so",
        "sudo's PAM stack; dlopen",
    ),
    (
        "usr/lib/x86_64-linux-gnu/security/pam_deny.so",
        "PAM's fallback; dlopen",
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
    (
        "usr/bin/chattr",
        "podman machine asks for it before each volume",
    ),
    ("usr/bin/lsattr", "belongs to it"),
    ("etc/mke2fs.conf", "mke2fs's defaults"),
    (
        "usr/bin/mount",
        "knows context=, X- options and helpers; busybox does not",
    ),
    ("usr/bin/umount", "the same"),
    ("usr/sbin/blkid", "labels and UUIDs"),
    ("usr/bin/lsblk", "which disk is which"),
    // Data.
    (
        "etc/protocols",
        "programs in the machine look names up there",
    ),
    ("etc/services", "the same"),
    ("etc/login.defs", "newuidmap reads it"),
    ("usr/share/terminfo/d/dumb", "terminals people come with"),
    ("usr/share/terminfo/l/linux", "the console"),
    ("usr/share/terminfo/s/screen", "terminals people come with"),
    (
        "usr/share/terminfo/s/screen-256color",
        "terminals people come with",
    ),
    (
        "usr/share/terminfo/t/tmux-256color",
        "terminals people come with",
    ),
    ("usr/share/terminfo/v/vt100", "serial consoles"),
    ("usr/share/terminfo/v/vt220", "serial consoles"),
    ("usr/share/terminfo/x/xterm", "terminals people come with"),
    (
        "usr/share/terminfo/x/xterm-256color",
        "terminals people come with",
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
    // Libraries that nothing names in its header.
    (
        "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
        "glibc dlopens it when a thread is cancelled",
    ),
];

/// Directories that must be there, if only to mount on.
pub const DIRECTORIES: &[(&str, &str)] = &[
    ("dev", "mounted on"),
    ("proc", "mounted on"),
    ("sys", "mounted on"),
    ("run", "mounted on"),
    ("tmp", "mounted on"),
    ("mnt", "people mount there"),
    ("media", "people mount there"),
    ("srv", "people expect it"),
    ("opt", "people expect it"),
    ("root", "home"),
    ("home/core", "home"),
    ("etc/ssh", "the host key"),
    (
        "etc/profile.d",
        "podman machine writes the proxy settings there",
    ),
    ("etc/sudoers.d", "what the user adds"),
    ("etc/containers", "what the user overrides"),
    (
        "etc/containers/registries.conf.d",
        "what the user overrides",
    ),
    (
        "etc/containers/oci/hooks.d",
        "what the user adds; podman wants it to be there",
    ),
    ("etc/cni/net.d", "podman looks there"),
    ("usr/local/bin", "on PATH"),
    ("usr/local/sbin", "on PATH"),
    ("usr/lib/boot2podman", "ours"),
    ("var/cache", "people expect it"),
    ("var/empty", "sshd's empty directory for older builds"),
    ("var/lib/boot2podman", "our state; the data disk"),
    ("var/lib/containers", "podman's state; the data disk"),
    ("var/log", "people look there"),
    ("var/spool", "people expect it"),
    ("var/tmp", "podman unpacks images there"),
];

/// Links that Debian does not have: path, target, why.
pub const LINKS: &[(&str, &str, &str)] = &[
    (
        "usr/bin/pasta",
        "passt",
        "Debian has it as a second hard link",
    ),
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
        "written when a lease comes",
    ),
    ("var/run", "../run", "/var/run/docker.sock"),
    ("var/lock", "../run/lock", "old programs"),
    (
        "usr/sbin/init",
        "../lib/boot2podman/init",
        "PID 1 under its other names",
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
    ("usr/sbin/halt", "../bin/b2p", "people"),
    ("usr/sbin/shutdown", "../bin/b2p", "people"),
    (
        "usr/bin/systemctl",
        "b2p",
        "scripts: poweroff, reboot, start and stop",
    ),
];

/// Empty files that PID 1 mounts the initrd's own over, so that neither is there twice.
pub const BIND_TARGETS: &[(&str, &str)] = &[
    ("usr/lib/boot2podman/init", "/init of the initrd"),
    ("usr/bin/b2p", "/bin/b2p of the initrd"),
    ("usr/bin/busybox", "/bin/busybox of the initrd"),
];

/// Who is neither root:root nor of the plain mode: path, mode, uid, gid, why.
pub const MODES: &[(&str, u32, u32, u32, &str)] = &[
    ("usr/bin/sudo", 0o4755, 0, 0, "that is what it is for"),
    (
        "usr/bin/newuidmap",
        0o4755,
        0,
        0,
        "maps the subordinate ids of whoever calls",
    ),
    ("usr/bin/newgidmap", 0o4755, 0, 0, "the same"),
    (
        "usr/lib/boot2podman/init",
        0o755,
        0,
        0,
        "the mount over it counts; so it reads right",
    ),
    ("usr/bin/b2p", 0o755, 0, 0, "the same"),
    ("usr/bin/docker", 0o755, 0, 0, "a script, run by its name"),
    ("usr/bin/busybox", 0o755, 0, 0, "the same"),
    ("tmp", 0o1777, 0, 0, "everybody's"),
    ("var/tmp", 0o1777, 0, 0, "everybody's"),
    ("root", 0o700, 0, 0, "nobody else's"),
    ("home/core", 0o700, 1000, 1000, "core's"),
    ("etc/shadow", 0o640, 0, 42, "group shadow, as Debian has it"),
    ("etc/sudoers", 0o440, 0, 0, "sudo refuses another mode"),
];
