// SPDX-License-Identifier: Apache-2.0
//! Tables of extensions: those that `make ext` knows by name, and the results of Debian's
//! maintainer scripts, which are not run.

/// Extension that needs no `PKGS=`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Name.
    pub name: &'static str,
    /// Debian packages.
    pub packages: &'static [&'static str],
    /// Extensions that are added before it.
    pub needs: &'static [&'static str],
    /// Kernel modules, with those that they depend on, unless the machine has them. The kernel and
    /// modprobe(8) find them.
    pub modules: &'static [&'static str],
    /// Modules among them that are loaded when the extension is added.
    pub loaded: &'static [&'static str],
    /// Purpose.
    pub why: &'static str,
}

/// Row without content; rows of the table name only what they have. Further files of an extension,
/// such as services and configuration, are in `initramfs/ext/<name>/`.
const ROW: Known = Known {
    name: "",
    packages: &[],
    needs: &[],
    modules: &[],
    loaded: &[],
    why: "",
};

/// Extensions that `make ext` knows by name.
pub const KNOWN: &[Known] = &[
    Known {
        name: "buildah",
        packages: &["buildah"],
        why: "builds images step by step",
        ..ROW
    },
    Known {
        name: "skopeo",
        packages: &["skopeo"],
        why: "looks at images in registries, and copies them",
        ..ROW
    },
    Known {
        name: "compose",
        packages: &["docker-compose"],
        why: "brings compose projects up, for `podman compose`",
        ..ROW
    },
    Known {
        name: "debug",
        packages: &[
            "strace", "tcpdump", "lsof", "iproute2", "ethtool", "vim-tiny",
        ],
        why: "traces system calls, captures packets, lists open files",
        ..ROW
    },
];

/// Links that update-alternatives(1) would make: the program and its other names.
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

/// Users that adduser(8) would make: the program and the user that it changes to.
pub const USERS: &[(&str, &str)] = &[("usr/bin/tcpdump", "tcpdump")];

/// Prefixes of paths that are left out in addition to those that are never unpacked: files for
/// shells, desktops and init systems that the machine does not have, and buildah's tests.
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
