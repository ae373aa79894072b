// SPDX-License-Identifier: Apache-2.0
//! Tables of extensions: those that `make ext` knows by name, and the results of Debian's
//! maintainer scripts, which are not run.

use crate::packages::Kernel;

/// Extension that needs no `PKGS=`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Name.
    pub name: &'static str,
    /// Debian packages whose files the extension has.
    pub packages: &'static [&'static str],
    /// True if the extension also has the files of all packages that these depend on, except those
    /// of packages that the machine's image is made from.
    pub whole: bool,
    /// Patterns of the only paths that are taken; all if there is none. `*` stands for any characters,
    /// `{foreign}` for [`crate::arch::Arch::foreign`].
    pub only: &'static [&'static str],
    /// Patterns of paths that are left out.
    pub without: &'static [&'static str],
    /// Extensions that are added before this one.
    pub needs: &'static [&'static str],
    /// Kernel modules, with those that they depend on, unless the machine has them. The kernel and
    /// modprobe(8) find these modules.
    pub modules: &'static [&'static str],
    /// Kernels that have the modules, and for which `make release` makes the extension.
    pub kernels: &'static [Kernel],
    /// Modules among them that are loaded when the extension is added.
    pub loaded: &'static [&'static str],
    /// Purpose.
    pub why: &'static str,
}

/// Row without content; rows of the table name only their own fields. Further files of an
/// extension, such as services and configuration, are in `initramfs/ext/<name>/`.
const ROW: Known = Known {
    name: "",
    packages: &[],
    whole: false,
    only: &[],
    without: &[],
    needs: &[],
    modules: &[],
    kernels: &[Kernel::Cloud, Kernel::Generic],
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
    Known {
        name: "tools",
        packages: &[
            "iproute2",
            "tcpdump",
            "strace",
            "vim",
            "vim-common",
            "vim-runtime",
            "htop",
        ],
        without: &[
            "usr/share/vim/*/doc/*",
            "usr/share/vim/*/lang/*",
            "usr/share/vim/*/spell/*",
            "usr/share/vim/*/tutor/*",
        ],
        why: "shows networks and processes, edits with all of vim",
        ..ROW
    },
    Known {
        name: "runc",
        packages: &["runc"],
        why: "runs containers in place of crun, with `b2p.runtime=runc` or `--runtime runc`",
        ..ROW
    },
    Known {
        name: "git",
        packages: &["git"],
        // Scripts in Perl, and programs for mail.
        without: &[
            "usr/bin/git-cvsserver",
            "usr/lib/git-core/git-add--interactive",
            "usr/lib/git-core/git-cvs*",
            "usr/lib/git-core/git-imap-send",
            "usr/lib/git-core/git-archimport",
            "usr/share/git-core/contrib/*",
            "usr/share/gitweb/*",
            "usr/share/perl5/*",
        ],
        why: "fetches sources, also those of `podman build https://…`",
        ..ROW
    },
    Known {
        name: "compile",
        packages: &["gcc", "libc6-dev", "make"],
        whole: true,
        // Sanitizers, the profiler of binutils, tools for link-time optimization by hand.
        without: &[
            "*/gprofng*",
            "*/lib*san.*",
            "*/lib*san_preinit.o",
            "*/libgprofng*",
            "*bin/gp-*",
            "*bin/*-lto-dump*",
            "*bin/*gprof*",
            "*bin/lto-dump*",
        ],
        why: "compiles C: gcc, make and headers",
        ..ROW
    },
    Known {
        name: "rust",
        packages: &["rustc", "cargo", "libstd-rust-dev"],
        needs: &["compile"],
        why: "compiles Rust; `compile` has the linker that it runs",
        ..ROW
    },
    Known {
        name: "go",
        packages: &["golang-go"],
        whole: true,
        // Tests, the sources of Go's own commands, tools that draw profiles.
        without: &[
            "*/testdata/*",
            "usr/share/go-*_test.go",
            "usr/share/go-*/api/*",
            "usr/share/go-*/misc/*",
            "usr/share/go-*/src/cmd/*",
            "usr/share/go-*/test/*",
            "usr/lib/go-*/pkg/tool/*/pprof",
            "usr/lib/go-*/pkg/tool/*/trace",
        ],
        why: "compiles Go",
        ..ROW
    },
    Known {
        name: "nfs",
        // libtirpc-common has /etc/netconfig, where mount.nfs looks for the transport of NFS 3.
        packages: &["nfs-common", "libtirpc-common"],
        modules: &["nfs", "nfsv3", "nfsv4"],
        // Scripts in Python, and services of NFS 3.
        without: &[
            "usr/sbin/mountstats",
            "usr/sbin/nfsiostat",
            "usr/sbin/nfsdclnts",
            "usr/sbin/nfsdclddb",
        ],
        why: "mounts NFS, also as a volume",
        ..ROW
    },
    Known {
        name: "cifs",
        packages: &["cifs-utils"],
        // cifs requests the others at a connection.
        modules: &[
            "cifs",
            "cmac",
            "ccm",
            "gcm",
            "ghash_generic",
            "ecb",
            "md5",
            "hmac",
            "sha512_generic",
            "nls_utf8",
        ],
        without: &["usr/bin/smb2-quota", "usr/bin/smbinfo"],
        why: "mounts shares of Windows and Samba, also as a volume",
        ..ROW
    },
    Known {
        name: "criu",
        // criu runs ip and tar with options that those of busybox do not have.
        packages: &["criu", "libcriu2", "iproute2", "tar"],
        // Modules for criu's queries about sockets.
        modules: &["netlink_diag", "af_packet_diag", "raw_diag"],
        why: "checkpoints and restores containers",
        ..ROW
    },
    Known {
        name: "qemu-user",
        packages: &["qemu-user", "qemu-user-binfmt"],
        // Links, which lead to the program and to its rule (binfmt.d(5)).
        only: &[
            "usr/lib/binfmt.d/qemu-{foreign}.conf",
            "usr/libexec/qemu-binfmt/{foreign}-binfmt-P",
        ],
        why: "runs programs and containers of the other architecture",
        ..ROW
    },
    Known {
        name: "desktop",
        packages: &[
            "xserver-xorg-core",
            "xserver-xorg-input-evdev",
            "xinit",
            "x11-xserver-utils",
            "x11-xkb-utils",
            "xkb-data",
            "libx11-data",
            "flwm",
            "xterm",
            "dillo",
            "fontconfig-config",
            "fonts-dejavu-core",
            "fonts-dejavu-mono",
        ],
        modules: DESKTOP_MODULES,
        // The cloud kernel has no graphics.
        kernels: &[Kernel::Generic],
        loaded: DESKTOP_MODULES,
        // OpenGL, and scripts in Perl.
        without: &[
            "usr/lib/xorg/modules/libglamoregl.so",
            "usr/lib/xorg/modules/extensions/libglx.so",
            "usr/bin/cvt",
            "usr/bin/gtf",
            "usr/bin/xbiff",
            "usr/share/fonts/*/DejaVuSerif*",
            "usr/share/fonts/*Oblique*",
        ],
        why: "shows windows on the screen: X11, flwm, xterm and dillo",
        ..ROW
    },
];

/// Screens of QEMU and VMware, mice and keyboards.
const DESKTOP_MODULES: &[&str] = &["bochs", "virtio_gpu", "qxl", "vmwgfx", "psmouse", "evdev"];

/// Links that update-alternatives(1) would make: the program and its other names.
pub const ALTERNATIVES: &[(&str, &[&str])] = &[
    ("usr/bin/vim.tiny", &["vi", "vim", "view", "ex", "rview"]),
    (
        "usr/bin/vim.basic",
        &["vi", "vim", "view", "ex", "rview", "vimdiff"],
    ),
    ("usr/bin/gcc", &["cc"]),
    ("usr/bin/nano", &["pico"]),
    ("usr/bin/nc.openbsd", &["nc", "netcat"]),
    ("usr/bin/nc.traditional", &["nc", "netcat"]),
    ("usr/bin/gawk", &["awk"]),
    ("usr/bin/traceroute.db", &["traceroute"]),
];

/// Users that adduser(8) would make: the program and the user of its process.
pub const USERS: &[(&str, &str)] = &[("usr/bin/tcpdump", "tcpdump")];

/// Prefixes of paths that are left out in addition to those that are never unpacked: files for
/// shells, desktops and init systems that the machine does not have, and buildah's tests.
pub const LEFT_OUT: &[&str] = &[
    "etc/apparmor.d/",
    "etc/cron",
    "etc/environment.d/",
    "etc/init.d/",
    "etc/logrotate.d/",
    "etc/sysctl.d/",
    "etc/systemd/",
    "etc/tmpfiles.d/",
    "usr/libexec/buildah/",
    "usr/lib/sysctl.d/",
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
