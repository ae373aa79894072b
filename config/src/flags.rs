//! The table of flags: nothing else knows their names.

use crate::builder::{self, Builder};
use crate::compat;
use crate::diagnostic::Problem;
use crate::net;
use crate::rsyslog;
use crate::settings::{Console, FormatPolicy, Loglevel, Modules, Podman, Role, Slot};
use crate::share;
use crate::swap;
use crate::values::{self, pick, switch};

/// Applies a value to the configuration, or says what is wrong with it.
type Apply = fn(&mut Builder, &str) -> Result<(), Problem>;

/// One flag: its documentation, and the function that applies it.
pub struct Flag {
    /// As on the command line. In fw_cfg it goes without its `b2p.`.
    pub name: &'static str,
    /// What it takes, the default first, `<…>` standing for a text.
    pub values: &'static str,
    /// What holds without the flag, as a value; empty where there is none.
    pub default: &'static str,
    /// What it is for, in one line.
    pub why: &'static str,
    /// It may be given several times, and every time counts.
    pub repeats: bool,
    /// It may be given without a value, which means `on`.
    pub bare: bool,
    /// The flag that sets the same thing, if this is another name for it.
    pub same_as: Option<&'static str>,
    /// Its value is not shown in diagnostics: it could be a secret by mistake.
    pub hidden: bool,
    /// It is needed before the data disk is mounted, so that it cannot stand there.
    pub early: bool,
    pub(crate) apply: Apply,
}

impl Flag {
    /// The name without its `b2p.`, as in fw_cfg.
    #[must_use]
    pub fn short(&self) -> &'static str {
        self.name.strip_prefix("b2p.").unwrap_or(self.name)
    }

    /// The name of what it sets: one for all flags that set the same.
    pub(crate) fn sets(&self) -> &'static str {
        self.same_as.unwrap_or(self.name)
    }
}

/// What most rows have in common.
pub(crate) const ROW: Flag = Flag {
    name: "",
    values: "",
    default: "",
    why: "",
    repeats: false,
    bare: false,
    same_as: None,
    hidden: false,
    early: false,
    apply: |_, _| Ok(()),
};

/// Every flag. The `b2p.` ones are ours; the others are Tiny Core's boot codes
/// in their old sense (tinycorelinux/Core-scripts, etc/init.d/tc-config), and
/// the kernel's `ip=`.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "b2p.ssh_key",
        values: "\"<type> <base64> <comment>\"",
        why: "who may log in as root and core: a line as in authorized_keys",
        repeats: true,
        hidden: true,
        apply: builder::ssh_key,
        ..ROW
    },
    Flag {
        name: "b2p.user",
        values: "<name>",
        default: "core",
        why: "the name of the user with number 1000, who has sudo and podman",
        apply: |to, text| values::user(text).map(|name| to.config.user = name),
        ..ROW
    },
    Flag {
        name: "b2p.data",
        values: "auto, off, LABEL=<label>, UUID=<uuid>, PARTUUID=<uuid>, /dev/<disk>",
        default: "auto",
        why: "the disk that keeps the state; off keeps it in RAM",
        early: true,
        apply: |to, text| values::data(text).map(|data| to.config.data = data),
        ..ROW
    },
    Flag {
        name: "b2p.format",
        values: "magic, blank, never",
        default: "magic",
        why: "which disk may be formatted: one that asks for it, a blank one too, none",
        early: true,
        apply: |to, text| pick(text, &FORMATS).map(|format| to.config.format = format),
        ..ROW
    },
    Flag {
        name: "b2p.cloud",
        values: "auto, off",
        default: "auto",
        why: "whether a disk labelled cidata may configure the machine, as cloud-init's NoCloud",
        apply: |to, text| pick(text, &CLOUDS).map(|on| to.config.cloud = on),
        ..ROW
    },
    Flag {
        name: "b2p.swap",
        values: "off, zram, zram:<percent>%, zram:<MiB>, <MiB>, file:<MiB>, \
                 LABEL=<label>, UUID=<uuid>, PARTUUID=<uuid>, /dev/<partition>",
        default: "off",
        why: "swap: a share of the memory (25%), compressed; a file on the data disk; a swap partition",
        repeats: true,
        apply: swap::swap,
        ..ROW
    },
    Flag {
        name: "b2p.share",
        values: "<tag>:<path>, <tag>:<path>:ro",
        why: "a folder of the host, by virtiofs or 9p: the tag that the host gives it, and where it is in the machine",
        repeats: true,
        apply: share::share,
        ..ROW
    },
    Flag {
        name: "b2p.ext",
        values: "<name>[,<name>...]",
        why: "extensions, images with more programs, from the data disk or the disc or stick of an ISO",
        repeats: true,
        apply: builder::extensions,
        ..ROW
    },
    Flag {
        name: "b2p.vsock",
        values: "off, on",
        default: "off",
        why: "ssh and the podman API over vsock, for a host without a network to the machine",
        bare: true,
        apply: |to, text| switch(text).map(|on| to.config.vsock = on),
        ..ROW
    },
    Flag {
        name: "b2p.hostname",
        values: "<name>",
        default: "boot2podman",
        why: "the name of the machine",
        apply: |to, text| values::hostname(text).map(|name| to.hostname = Some(name)),
        ..ROW
    },
    compat::HOST,
    Flag {
        name: "b2p.net",
        values: "dhcp, off, <addr>/<prefix>,<gateway>[,<dns>...]",
        default: "dhcp",
        why: "how the network cards get their addresses (IPv4; IPv6 advertises itself)",
        early: true,
        apply: |to, text| net::net(text).map(|net| to.config.net = net),
        ..ROW
    },
    Flag {
        name: "ip",
        values: "dhcp, on, any, off, none, <client>:<server>:<gateway>:<netmask>:\
                 <hostname>:<device>:<autoconf>:<dns0>:<dns1>:<ntp0>",
        default: "dhcp",
        why: "the same, as the kernel's nfsroot.rst has it",
        same_as: Some("b2p.net"),
        early: true,
        apply: builder::ip,
        ..ROW
    },
    Flag {
        name: "b2p.routed",
        values: "off, on",
        default: "off",
        why: "whether other machines may reach containers by their own addresses, with this one as their router",
        bare: true,
        early: true,
        apply: |to, text| switch(text).map(|on| to.config.routed = on),
        ..ROW
    },
    Flag {
        name: "b2p.console",
        values: "status, shell, off",
        default: "status",
        why: "what the consoles show: how to connect; then a root shell; nothing",
        apply: |to, text| pick(text, &CONSOLES).map(|console| to.config.console = console),
        ..ROW
    },
    Flag {
        name: "b2p.podman",
        values: "ondemand, boot, off",
        default: "ondemand",
        why: "when the podman API service runs: from the first connection, from boot, never",
        apply: |to, text| pick(text, &PODMANS).map(|podman| to.config.podman = podman),
        ..ROW
    },
    Flag {
        name: "b2p.sshd",
        values: "on, off",
        default: "on",
        why: "whether sshd runs",
        bare: true,
        apply: |to, text| switch(text).map(|on| to.config.sshd = on),
        ..ROW
    },
    Flag {
        name: "b2p.http_proxy",
        values: "<url>, <host>:<port>",
        why: "the proxy for http, for podman, containers and shells: HTTP_PROXY",
        apply: |to, text| values::proxy(text).map(|url| to.config.proxy.http = Some(url)),
        ..ROW
    },
    Flag {
        name: "b2p.https_proxy",
        values: "<url>, <host>:<port>",
        why: "the proxy for https: HTTPS_PROXY",
        apply: |to, text| values::proxy(text).map(|url| to.config.proxy.https = Some(url)),
        ..ROW
    },
    Flag {
        name: "b2p.no_proxy",
        values: "<host>[,<host>...]",
        why: "what is reached without a proxy: NO_PROXY",
        apply: |to, text| values::no_proxy(text).map(|list| to.config.proxy.none = Some(list)),
        ..ROW
    },
    Flag {
        name: "b2p.rsyslog",
        values: "<server>[:<port>][,tcp]",
        why: "where the log is sent by syslog, to port 514 by UDP unless the value says otherwise",
        apply: |to, text| rsyslog::receiver(text).map(|it| to.config.rsyslog = Some(it)),
        ..ROW
    },
    Flag {
        name: "b2p.off",
        values: "<service>[,<service>...]",
        why: "services that are not started with the machine (b2p start does)",
        repeats: true,
        apply: |to, text| builder::services(to, text, false),
        ..ROW
    },
    Flag {
        name: "b2p.on",
        values: "<service>[,<service>...]",
        why: "services that are, though they would not be",
        repeats: true,
        apply: |to, text| builder::services(to, text, true),
        ..ROW
    },
    Flag {
        name: "b2p.rescue",
        values: "off, on",
        default: "off",
        why: "a shell before any service",
        bare: true,
        early: true,
        apply: |to, text| switch(text).map(|on| to.config.rescue = on),
        ..ROW
    },
    Flag {
        name: "b2p.slot",
        values: "a, b, a:trial, b:trial, a:fallback, b:fallback",
        why: "said by the boot menu of a disk with two versions (docs/guide/upgrade.md): which this is, and whether it is on trial",
        early: true,
        apply: |to, text| pick(text, &SLOTS).map(|slot| to.config.slot = Some(slot)),
        ..ROW
    },
    Flag {
        name: "b2p.loglevel",
        values: "info, error, warn, debug, trace",
        default: "info",
        why: "how much init logs",
        apply: |to, text| pick(text, &LOGLEVELS).map(|level| to.config.loglevel = level),
        ..ROW
    },
    Flag {
        name: "b2p.modules",
        values: "fast, verified",
        default: "fast",
        why: "whether kernel modules are loaded without their signatures, 30 ms faster each; a kernel that insists on them gets them either way",
        early: true,
        apply: |to, text| pick(text, &MODULES).map(|modules| to.config.modules = modules),
        ..ROW
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

const FORMATS: [(&str, FormatPolicy); 3] = [
    ("magic", FormatPolicy::Magic),
    ("blank", FormatPolicy::Blank),
    ("never", FormatPolicy::Never),
];

const CLOUDS: [(&str, bool); 2] = [("auto", true), ("off", false)];

const CONSOLES: [(&str, Console); 3] = [
    ("status", Console::Status),
    ("shell", Console::Shell),
    ("off", Console::Off),
];

const PODMANS: [(&str, Podman); 3] = [
    ("ondemand", Podman::OnDemand),
    ("boot", Podman::Boot),
    ("off", Podman::Off),
];

const SLOTS: [(&str, Slot); 6] = [
    ("a", Slot::new('a', Role::Kept)),
    ("b", Slot::new('b', Role::Kept)),
    ("a:trial", Slot::new('a', Role::Trial)),
    ("b:trial", Slot::new('b', Role::Trial)),
    ("a:fallback", Slot::new('a', Role::Fallback)),
    ("b:fallback", Slot::new('b', Role::Fallback)),
];

const MODULES: [(&str, Modules); 2] = [("fast", Modules::Fast), ("verified", Modules::Verified)];

const LOGLEVELS: [(&str, Loglevel); 5] = [
    ("info", Loglevel::Info),
    ("error", Loglevel::Error),
    ("warn", Loglevel::Warn),
    ("debug", Loglevel::Debug),
    ("trace", Loglevel::Trace),
];
