// SPDX-License-Identifier: Apache-2.0
//! Table of the flags, in the order of docs/reference/flags.md. Rows of switches and of Tiny Core's boot codes are
//! constants of the modules `switches` and `compat`.

use crate::builder;
use crate::compat;
use crate::flag::Flag;
use crate::keywords::*;
use crate::net;
use crate::rsyslog;
use crate::share;
use crate::swap;
use crate::switches;
use crate::values::{self, lookup, on_off};

/// Every flag: those of this system (`b2p.`), the kernel's `ip=`, and Tiny Core's boot codes.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "b2p.ssh_key",
        values: "\"<type> <base64> <comment>\"",
        description: "public key that may log in as root and as the user, as a line of authorized_keys",
        repeatable: true,
        secret: true,
        apply: builder::ssh_key,
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.user",
        values: "<name>, <name>:<uid>",
        default: "core",
        description: "name, and number if it is not 1000, of the user who has sudo and podman",
        apply: |to, text| {
            values::user(text).map(|(name, uid)| (to.config.user, to.config.uid) = (name, uid))
        },
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.data",
        values: "auto, off, LABEL=<label>, UUID=<uuid>, PARTUUID=<uuid>, /dev/<disk>",
        default: "auto",
        description: "disk that stores the state; off keeps the state in RAM",
        before_data_disk: true,
        apply: |to, text| values::data(text).map(|data| to.config.data = data),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.format",
        values: "magic, blank, never",
        default: "magic",
        description: "disks that may be formatted: those whose first bytes request a format (magic), blank disks as well (blank), or none (never)",
        before_data_disk: true,
        apply: |to, text| lookup(text, &FORMATS).map(|format| to.config.format = format),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.etc",
        values: "containers, all, ram",
        default: "containers",
        description: "parts of /etc that the data disk keeps: /etc/containers, all of /etc, or none; it keeps the home directories in any case",
        apply: |to, text| lookup(text, &ETCS).map(|etc| to.config.etc = etc),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.cloud",
        values: "auto, off",
        default: "auto",
        description: "configuration from a disk labelled cidata, in the format of cloud-init's NoCloud",
        apply: |to, text| lookup(text, &CLOUDS).map(|on| to.config.cloud = on),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.ignition",
        values: "auto, disk, vsock, off",
        default: "auto",
        description: "configuration by Ignition from fw_cfg, SMBIOS or a disk labelled ignition; disk waits for such a disk, vsock requests the document from the host over vsock",
        apply: |to, text| lookup(text, &IGNITIONS).map(|source| to.config.ignition = source),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.swap",
        values: "off, zram, zram:<percent>%, zram:<MiB>, <MiB>, file:<MiB>, \
                 LABEL=<label>, UUID=<uuid>, PARTUUID=<uuid>, /dev/<partition>",
        default: "off",
        description: "swap: compressed memory (a quarter of the memory by default), a file on the data disk, or a swap partition",
        repeatable: true,
        apply: swap::swap,
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.share",
        values: "<tag>:<path>, <tag>:<path>:ro",
        description: "folder of the host by virtiofs or 9p: its mount tag on the host, and its path in the machine",
        repeatable: true,
        apply: share::share,
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.ext",
        values: "<name>[,<name>...]",
        description: "extensions (images with additional programs) from the data disk or from the medium of an ISO",
        repeatable: true,
        apply: builder::extensions,
        ..Flag::EMPTY
    },
    switches::RUNTIME,
    switches::ROSETTA,
    Flag {
        name: "b2p.vsock",
        values: "off, on",
        default: "off",
        description: "ssh and the podman API over vsock, for a host that has no network connection to the machine",
        value_optional: true,
        apply: |to, text| on_off(text).map(|on| to.config.vsock = on),
        ..Flag::EMPTY
    },
    switches::VARLINK,
    Flag {
        name: "b2p.hostname",
        values: "<name>",
        default: "boot2podman",
        description: "host name",
        apply: |to, text| values::hostname(text, &mut to.hostname),
        ..Flag::EMPTY
    },
    compat::HOST,
    Flag {
        name: "b2p.machine",
        values: "off, qemu",
        default: "off",
        description: "publication of the ports of containers on the host as well; podman-machine sets this flag by fw_cfg",
        before_data_disk: true,
        apply: |to, text| {
            lookup(text, &[("off", false), ("qemu", true)])
                .map(|on| to.config.host_publishes_ports = on)
        },
        ..Flag::EMPTY
    },
    switches::TEMPLATE,
    switches::AUTO_UPDATE,
    Flag {
        name: "b2p.net",
        values: "dhcp, off, <addr>/<prefix>,<gateway>[,<dns>...]",
        default: "dhcp",
        description: "addresses of the network interfaces (IPv4; IPv6 is configured by router advertisement)",
        before_data_disk: true,
        apply: |to, text| net::net(text).map(|net| to.config.net = net),
        ..Flag::EMPTY
    },
    Flag {
        name: "ip",
        values: "dhcp, on, any, off, none, <client>:<server>:<gateway>:<netmask>:\
                 <hostname>:<device>:<autoconf>:<dns0>:<dns1>:<ntp0>",
        default: "dhcp",
        description: "same as b2p.net, in the form of the kernel's nfsroot.rst",
        alias_of: Some("b2p.net"),
        before_data_disk: true,
        apply: builder::ip,
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.routed",
        values: "off, on",
        default: "off",
        description: "access of other machines to containers by the containers' own addresses, with this machine as their router",
        value_optional: true,
        before_data_disk: true,
        apply: |to, text| on_off(text).map(|on| to.config.routed = on),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.container_ssh",
        values: "off, on",
        default: "off",
        description: "access of containers to the machine's ssh server",
        value_optional: true,
        before_data_disk: true,
        apply: |to, text| on_off(text).map(|on| to.config.container_ssh = on),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.console",
        values: "status, shell, off",
        default: "status",
        description: "contents of the consoles: status shows how to connect, shell also runs a root shell, off leaves them empty",
        apply: |to, text| lookup(text, &CONSOLES).map(|console| to.config.console = console),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.podman",
        values: "ondemand, boot, off",
        default: "ondemand",
        description: "start of the podman API service: at the first connection, at boot, or never",
        apply: |to, text| lookup(text, &PODMANS).map(|podman| to.config.podman = podman),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.rootless",
        values: "on, off, default",
        default: "on",
        description: "API of the user's own podman, started at the first connection to its socket; with the value default, docker's clients also reach the user's podman",
        apply: |to, text| lookup(text, &ROOTLESS).map(|how| to.config.rootless = how),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.sshd",
        values: "on, off",
        default: "on",
        description: "ssh server",
        value_optional: true,
        apply: |to, text| on_off(text).map(|on| to.config.sshd = on),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.http_proxy",
        values: "<url>, <host>:<port>",
        description: "proxy for http in podman, containers and shells: HTTP_PROXY",
        apply: |to, text| values::proxy(text).map(|url| to.config.proxy.http = Some(url)),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.https_proxy",
        values: "<url>, <host>:<port>",
        description: "proxy for https: HTTPS_PROXY",
        apply: |to, text| values::proxy(text).map(|url| to.config.proxy.https = Some(url)),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.no_proxy",
        values: "<host>[,<host>...]",
        description: "hosts that are reached without a proxy: NO_PROXY",
        apply: |to, text| {
            values::no_proxy(text).map(|list| to.config.proxy.exceptions = Some(list))
        },
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.rsyslog",
        values: "<server>[:<port>][,tcp]",
        description: "receiver of the log by syslog, on UDP port 514 unless the value says otherwise",
        apply: |to, text| rsyslog::receiver(text).map(|it| to.config.rsyslog = Some(it)),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.off",
        values: "<service>[,<service>...]",
        description: "services that do not start at boot (b2p start starts them)",
        repeatable: true,
        apply: |to, text| switches::services(to, text, false),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.on",
        values: "<service>[,<service>...]",
        description: "services that start at boot in addition to the default ones",
        repeatable: true,
        apply: |to, text| switches::services(to, text, true),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.rescue",
        values: "off, on",
        default: "off",
        description: "rescue shell on the consoles before any service starts",
        value_optional: true,
        before_data_disk: true,
        apply: |to, text| on_off(text).map(|on| to.config.rescue = on),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.slot",
        values: "a, b, a:trial, b:trial, a:fallback, b:fallback",
        description: "slot that was booted, and whether it is on trial; set by the boot menu of a disk with two versions (docs/guide/upgrade.md)",
        before_data_disk: true,
        apply: |to, text| lookup(text, &SLOTS).map(|slot| to.config.slot = Some(slot)),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.loglevel",
        values: "info, error, warn, debug, trace",
        default: "info",
        description: "verbosity of init's log",
        apply: |to, text| lookup(text, &LOGLEVELS).map(|level| to.config.loglevel = level),
        ..Flag::EMPTY
    },
    Flag {
        name: "b2p.modules",
        values: "fast, verified",
        default: "fast",
        description: "check of the signatures of kernel modules; fast skips the check, which saves 30 ms for each module, unless the kernel requires signatures",
        before_data_disk: true,
        apply: |to, text| lookup(text, &MODULES).map(|modules| to.config.modules = modules),
        ..Flag::EMPTY
    },
    compat::WAITUSB,
    compat::TZ,
    compat::NOUTC,
    compat::NODHCP,
    compat::NOSWAP,
    compat::NOAUTOLOGIN,
    compat::NTPSERVER,
    compat::BLACKLIST,
    compat::SWAPFILE,
    compat::SYSLOG,
    compat::RSYSLOG,
];
