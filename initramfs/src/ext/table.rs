//! Extensions that have a name, and what Debian's maintainer scripts would have done.

/// An extension that needs no `PKGS=`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Debian's packages.
    pub packages: &'static [&'static str],
    /// What it is for.
    pub why: &'static str,
}

/// The table.
pub const KNOWN: &[Known] = &[
    Known {
        name: "buildah",
        packages: &["buildah"],
        why: "builds images step by step",
    },
    Known {
        name: "skopeo",
        packages: &["skopeo"],
        why: "looks at images in registries, and copies them",
    },
    Known {
        name: "debug",
        packages: &[
            "strace", "tcpdump", "lsof", "iproute2", "ethtool", "vim-tiny",
        ],
        why: "what a program asks of the kernel, what goes over the network, who has what open",
    },
];

/// Links that update-alternatives(1) would make, for none of its scripts is run: the
/// program, and what else it is called.
pub const ALTERNATIVES: &[(&str, &[&str])] = &[
    ("usr/bin/vim.tiny", &["vi", "vim", "view", "ex", "rview"]),
    (
        "usr/bin/vim.basic",
        &["vi", "vim", "view", "ex", "rview", "vimdiff"],
    ),
    ("usr/bin/nano", &["pico"]),
    ("usr/bin/nc.openbsd", &["nc", "netcat"]),
    ("usr/bin/nc.traditional", &["nc", "netcat"]),
    ("usr/bin/gawk", &["awk"]),
    ("usr/bin/traceroute.db", &["traceroute"]),
];

/// Users that adduser(8) would make: the program, and who it becomes.
pub const USERS: &[(&str, &str)] = &[("usr/bin/tcpdump", "tcpdump")];

/// How the paths begin that nobody needs in a machine of ours, beside what is not even
/// unpacked: for shells, desktops and inits that are not there; programs of buildah's tests.
pub const LEFT_OUT: &[&str] = &[
    "etc/apparmor.d/",
    "etc/cron",
    "etc/init.d/",
    "etc/logrotate.d/",
    "usr/libexec/buildah/",
    "usr/lib/systemd/",
    "usr/lib/tmpfiles.d/",
    "usr/lib/sysusers.d/",
    "usr/share/applications/",
    "usr/share/apport/",
    "usr/share/bash-completion/",
    "usr/share/bug/",
    "usr/share/doc-base/",
    "usr/share/fish/",
    "usr/share/icons/",
    "usr/share/pixmaps/",
    "usr/share/zsh/",
];
