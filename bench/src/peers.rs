// SPDX-License-Identifier: Apache-2.0
//! Table of the peers. A peer's machine consists of the common userland, this table, and plain
//! files in bench/peers/<name>/root/; docs/measured/bench.md gives the reasons.

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// Name for `CASE=`, in the tables, and of its directory in bench/peers/.
    pub name: &'static str,
    /// Directories in bench/peers/ whose files the peer has as well; its own directory replaces files of the same path.
    pub above: &'static [&'static str],
    /// Description.
    pub what: &'static str,
    /// Files from the packages: path, reason.
    pub picks: &'static [(&'static str, &'static str)],
    /// Prefixes of paths among these that are left out.
    pub without: &'static [&'static str],
    /// Symbolic links: path, target.
    pub links: &'static [(&'static str, &'static str)],
    /// Words on the kernel's command line.
    pub append: &'static str,
}

/// Cases of this system: name, words on the kernel's command line.
pub const OURS: &[(&str, &str)] = &[
    ("boot2podman", ""),
    // Drivers are loaded as the peers load them.
    ("verified", "b2p.modules=verified"),
    // What the sockets of users' podman and of varlink add to a boot that does not use them.
    ("no-rootless", "b2p.rootless=off"),
    ("no-varlink", "b2p.varlink=off"),
];

/// Name of the case with two processors, for `CASE=`.
pub const TWO_CPUS: &str = "two-cpus";
/// Cases that are measured with two processors as well: this system, and the peers that are first and last with one.
pub const ON_TWO_CPUS: &[&str] = &["boot2podman", "shell", "systemd"];
/// Words on the command line of these: the kernel's self-tests of cryptography, which have idle priority, would run on the
/// second processor, whose instructions pass on the clock of both.
pub const ON_TWO_CPUS_FLAG: &str = "cryptomgr.notests";

/// Files that all peers have.
pub const COMMON: &[(&str, &str)] = &[("usr/sbin/modprobe", "kmod's: it reads an index")];

/// systemd's directory of units, without the package's lists of wants.
const SYSTEMD: &[(&str, &str)] = &[
    ("usr/lib/systemd/systemd", "PID 1"),
    ("usr/lib/systemd/systemd-executor", "starts its services"),
    ("usr/lib/systemd/systemd-shutdown", "PID 1 at the end"),
    ("usr/lib/systemd/systemd-journald", "what services say"),
    ("usr/lib/systemd/systemd-udevd", "networkd waits for it"),
    ("usr/lib/systemd/systemd-networkd", "DHCP"),
    ("usr/lib/systemd/system", "units"),
    (
        "usr/lib/systemd/network/99-default.link",
        "udev's link settings",
    ),
    ("usr/bin/systemctl", "runs at the power button"),
    ("usr/bin/udevadm", "coldplug"),
    ("usr/lib/udev/rules.d", "udev's rules"),
    (
        "usr/lib/x86_64-linux-gnu/libkmod.so.2",
        "udev loads modules; dlopen",
    ),
    (
        "usr/lib/x86_64-linux-gnu/libblkid.so.1",
        "udev looks at disks; dlopen",
    ),
    (
        "usr/lib/x86_64-linux-gnu/libmount.so.1",
        "mount units; dlopen",
    ),
];

/// Units that the package would start as well, except for [`SYSTEMD_WANTS`].
const SYSTEMD_WITHOUT: &[&str] = &[
    "usr/lib/systemd/system/sysinit.target.wants",
    "usr/lib/systemd/system/sockets.target.wants",
    "usr/lib/systemd/system/local-fs.target.wants",
    "usr/lib/systemd/system/timers.target.wants",
    "usr/lib/systemd/system/multi-user.target.wants",
    "usr/lib/systemd/system/getty.target.wants",
];

/// Units that are started.
const SYSTEMD_WANTS: &[(&str, &str)] = &[
    ("usr/sbin/init", "../lib/systemd/systemd"),
    // udevd requests this unit, which would have nothing to do.
    (
        "etc/systemd/system/systemd-udev-load-credentials.service",
        "/dev/null",
    ),
    (
        "etc/systemd/system/default.target",
        "/usr/lib/systemd/system/multi-user.target",
    ),
    (
        "etc/systemd/system/sysinit.target.wants/systemd-journald.service",
        "/usr/lib/systemd/system/systemd-journald.service",
    ),
    (
        "etc/systemd/system/sysinit.target.wants/systemd-udevd.service",
        "/usr/lib/systemd/system/systemd-udevd.service",
    ),
    (
        "etc/systemd/system/sysinit.target.wants/systemd-udev-trigger.service",
        "/usr/lib/systemd/system/systemd-udev-trigger.service",
    ),
    (
        "etc/systemd/system/sockets.target.wants/systemd-journald.socket",
        "/usr/lib/systemd/system/systemd-journald.socket",
    ),
    (
        "etc/systemd/system/sockets.target.wants/systemd-journald-dev-log.socket",
        "/usr/lib/systemd/system/systemd-journald-dev-log.socket",
    ),
    (
        "etc/systemd/system/sockets.target.wants/systemd-udevd-control.socket",
        "/usr/lib/systemd/system/systemd-udevd-control.socket",
    ),
    (
        "etc/systemd/system/sockets.target.wants/systemd-udevd-kernel.socket",
        "/usr/lib/systemd/system/systemd-udevd-kernel.socket",
    ),
    (
        "etc/systemd/system/sockets.target.wants/podman.socket",
        "../podman.socket",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "/usr/lib/systemd/system/systemd-networkd.service",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/sshd.service",
        "../sshd.service",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/probe.service",
        "../probe.service",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/button.service",
        "../button.service",
    ),
];

/// Words on the kernel's command line: cards keep their names, and the console gets no status.
const SYSTEMD_FLAGS: &str = "net.ifnames=0 systemd.show_status=0";

/// The peer of `CASE=quadlet`.
pub const QUADLET: Peer = Peer {
    name: "quadlet",
    above: &["systemd"],
    what: "the same systemd with podman's generator and one quadlet, without the probe",
    picks: SYSTEMD,
    without: SYSTEMD_WITHOUT,
    links: SYSTEMD_WANTS,
    append: SYSTEMD_FLAGS,
};

/// Every peer.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "shell",
        above: &[],
        what: "a shell script as PID 1, in the way of Tiny Core and boot2podman: busybox ash",
        picks: &[],
        without: &[],
        links: &[],
        append: "",
    },
    Peer {
        name: "systemd",
        above: &[],
        what: "systemd with journald, udev and networkd; nothing that such a host can do without",
        picks: SYSTEMD,
        without: SYSTEMD_WITHOUT,
        links: SYSTEMD_WANTS,
        append: SYSTEMD_FLAGS,
    },
    Peer {
        name: "busybox",
        above: &[],
        what: "busybox init",
        picks: &[],
        without: &[],
        links: &[("usr/sbin/init", "../bin/busybox")],
        append: "",
    },
    Peer {
        name: "openrc",
        above: &[],
        what: "OpenRC under its own openrc-init, in parallel",
        picks: &[
            ("usr/sbin/openrc-init", "PID 1"),
            ("usr/sbin/openrc", "goes to a runlevel"),
            ("usr/sbin/openrc-run", "runs a service's script"),
            ("usr/sbin/openrc-shutdown", "runs at the power button"),
            ("usr/sbin/rc-service", "used by openrc-shutdown"),
            ("usr/lib/rc", "what the scripts use"),
            (
                "etc/insserv.conf",
                "Debian's OpenRC reads it for each script",
            ),
        ],
        without: &[],
        links: &[("usr/sbin/init", "openrc-init")],
        append: "",
    },
    Peer {
        name: "runit",
        above: &[],
        what: "runit",
        picks: &[
            ("usr/sbin/runit", "PID 1"),
            (
                "usr/sbin/runit-init",
                "PID 1 first; runs at the power button",
            ),
            ("usr/bin/runsvdir", "stage 2"),
            ("usr/bin/runsv", "one for each service"),
            ("usr/bin/sv", "stage 3"),
        ],
        without: &[],
        links: &[("usr/sbin/init", "runit-init")],
        append: "",
    },
    Peer {
        name: "finit",
        above: &[],
        what: "finit, without plugins",
        picks: &[
            ("usr/sbin/finit", "PID 1"),
            ("usr/sbin/initctl", "runs at the power button"),
            ("usr/lib/finit/logit", "what services say"),
        ],
        without: &[],
        links: &[("usr/sbin/init", "finit")],
        append: "",
    },
];

/// Returns the names of all cases, in the order of the table.
pub fn order() -> Vec<&'static str> {
    let ours = OURS.iter().map(|(name, _)| *name);
    ours.chain(PEERS.iter().map(|p| p.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    #[test]
    fn each_peer_has_its_files_and_no_name_is_taken_twice() {
        let mut names = order();
        assert!(ON_TWO_CPUS.iter().all(|name| names.contains(name)));
        names.extend([QUADLET.name, TWO_CPUS]);
        for peer in PEERS.iter().chain([&QUADLET]) {
            let root = image::files(peer.name).join("root");
            assert!(root.is_dir(), "{}", root.display());
            assert!(!peer.what.is_empty());
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
