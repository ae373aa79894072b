// SPDX-License-Identifier: Apache-2.0
//! Typed configuration of the machine.

use std::net::Ipv4Addr;

use crate::storage::{DiskSelector, FormatPolicy, Swap, WaitUsb};

/// Number that the user has in the image.
pub const DEFAULT_UID: u32 = 1000;

/// Every setting. [`Default`] is the configuration without any flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `authorized_keys` lines for `root` and the user, each valid, without duplicates.
    pub ssh_keys: Vec<String>,
    /// Name of the user who may log in beside root, in the form that useradd(8) accepts.
    pub user: String,
    /// Number of that user, and of the user's group.
    pub uid: u32,
    /// Disk that stores the machine's state.
    pub data: DiskSelector,
    /// Part of /etc that the data disk keeps.
    pub etc: Etc,
    /// True if a disk labelled `cidata` may configure the machine.
    pub cloud: bool,
    /// Sources of a document of Ignition.
    pub ignition: Ignition,
    /// Disks that may be formatted.
    pub format: FormatPolicy,
    /// Host name: RFC 1123, at most 64 bytes (Linux `HOST_NAME_MAX`).
    pub hostname: String,
    /// True if a podman-machine on the host publishes ports.
    pub host_publishes_ports: bool,
    /// True if the boot waits until this memory is that of another machine.
    pub template: bool,
    /// Addresses of the network interfaces.
    pub net: Net,
    /// Contents of the consoles.
    pub console: Console,
    /// Start of the podman API service.
    pub podman: Podman,
    /// API of the user's own podman.
    pub rootless: Rootless,
    /// True if sshd runs.
    pub sshd: bool,
    /// Proxies for HTTP and HTTPS.
    pub proxy: Proxy,
    /// Variables that the profile on the data disk exports, for the engine and for sessions;
    /// names without duplicates.
    pub environment: Vec<(String, String)>,
    /// Services that start at boot (true) or do not (false), regardless of the service table;
    /// names without duplicates.
    pub services: Vec<(String, bool)>,
    /// True if a shell runs before any service.
    pub rescue: bool,
    /// Slot of the running version, on a disk with two slots.
    pub slot: Option<Slot>,
    /// Verbosity of PID 1's log.
    pub loglevel: Loglevel,
    /// Check of the signatures of kernel modules.
    pub modules: Modules,
    /// True if other machines may reach containers by their own addresses.
    pub routed: bool,
    /// True if containers may reach the ssh server of the machine.
    pub container_ssh: bool,
    /// Time to wait for a slow disk (Tiny Core `waitusb=`).
    pub waitusb: Option<WaitUsb>,
    /// Time zone (Tiny Core `tz=`): a POSIX TZ string or the name of a zoneinfo file. Printable
    /// ASCII, never absolute and without `..`, so that the file is below zoneinfo.
    pub tz: Option<String>,
    /// True if the hardware clock keeps UTC; false by Tiny Core's `noutc`.
    pub utc: bool,
    /// True if the host reaches ssh and the API over vsock.
    pub vsock: bool,
    /// True if the machine has varlink services.
    pub varlink: bool,
    /// Folders of the host; paths without duplicates.
    pub shares: Vec<SharedFolder>,
    /// Names of extensions without duplicates, in the order in which they are added.
    pub extensions: Vec<String>,
    /// Swap areas: at most one in zram and one in a file.
    pub swaps: Vec<Swap>,
    /// True if swap is allowed; false by Tiny Core's `noswap`, which overrides `swaps`.
    pub swap_allowed: bool,
    /// True if the consoles log in without a password; false by Tiny Core's `noautologin`.
    pub autologin: bool,
    /// DNS name or address of the time server (Tiny Core `ntpserver=`).
    pub ntpserver: Option<String>,
    /// Kernel modules that are never loaded (Tiny Core `blacklist=`), with `_` for `-`.
    pub blacklist: Vec<String>,
    /// Partition with the swap file `tc.swp` (Tiny Core `swapfile=`); never
    /// [`DiskSelector::Auto`] nor [`DiskSelector::Off`].
    pub swapfile: Option<DiskSelector>,
    /// True if the log is kept in files (Tiny Core `syslog`).
    pub syslog: bool,
    /// Receiver of the machine's log.
    pub rsyslog: Option<LogReceiver>,
    /// Time at which podman looks for newer images.
    pub auto_update: AutoUpdate,
    /// Name of the OCI runtime that podman uses in place of crun: a-z, digits, `-`.
    pub runtime: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ssh_keys: Vec::new(),
            user: String::from("core"),
            uid: DEFAULT_UID,
            data: DiskSelector::Auto,
            etc: Etc::Containers,
            cloud: true,
            ignition: Ignition::Auto,
            format: FormatPolicy::Magic,
            hostname: String::from("boot2podman"),
            net: Net::Dhcp { device: None },
            console: Console::Status,
            podman: Podman::OnDemand,
            rootless: Rootless::On,
            sshd: true,
            proxy: Proxy::default(),
            environment: Vec::new(),
            services: Vec::new(),
            rescue: false,
            slot: None,
            loglevel: Loglevel::Info,
            modules: Modules::Fast,
            host_publishes_ports: false,
            template: false,
            routed: false,
            container_ssh: false,
            waitusb: None,
            tz: None,
            utc: true,
            vsock: false,
            varlink: true,
            shares: Vec::new(),
            extensions: Vec::new(),
            swaps: Vec::new(),
            swap_allowed: true,
            autologin: true,
            ntpserver: None,
            blacklist: Vec::new(),
            swapfile: None,
            syslog: false,
            rsyslog: None,
            auto_update: AutoUpdate::Off,
            runtime: None,
        }
    }
}

impl Config {
    /// Returns the environment of the engine and of sessions: the variables of the profile, then
    /// the proxies, each in upper case and in lower case (curl reads only the lower case). Names
    /// are without duplicates.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.environment.clone();
        let proxies = [
            ("HTTP_PROXY", &self.proxy.http),
            ("HTTPS_PROXY", &self.proxy.https),
            ("NO_PROXY", &self.proxy.exceptions),
        ];
        for (name, value) in proxies {
            let Some(value) = value else { continue };
            for name in [name.to_owned(), name.to_ascii_lowercase()] {
                variables.retain(|(known, _)| *known != name);
                variables.push((name, value.clone()));
            }
        }
        variables
    }

    /// Returns true if any swap area is configured and allowed.
    #[must_use]
    pub fn asks_for_swap(&self) -> bool {
        self.swap_allowed && (self.swapfile.is_some() || !self.swaps.is_empty())
    }

    /// Returns true if any of the swap areas is on a disk.
    #[must_use]
    pub fn swaps_to_disk(&self) -> bool {
        let on_disk = |swap: &Swap| !matches!(swap, Swap::Zram(_));
        self.swap_allowed && (self.swapfile.is_some() || self.swaps.iter().any(on_disk))
    }
}

/// Slot of a version on a disk of `make disk`, which has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `a` or `b`.
    pub name: char,
    /// Reason for the boot of this slot.
    pub role: Role,
}

impl Slot {
    pub(crate) const fn new(name: char, role: Role) -> Self {
        Self { name, role }
    }
}

/// Reason why a slot was booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Slot is the confirmed one, or was selected in the boot menu.
    Confirmed,
    /// Slot has a new version; the other slot boots again if the new version does not become ready.
    Trial,
    /// Other slot has a new version that did not become ready.
    Fallback,
}

/// Proxies; each value is printable ASCII without spaces and quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `HTTP_PROXY`: a URL, or a host and a port.
    pub http: Option<String>,
    /// `HTTPS_PROXY`: a URL, or a host and a port.
    pub https: Option<String>,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly, separated by commas.
    pub exceptions: Option<String>,
}

/// Folder of the host that is mounted in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFolder {
    /// Mount tag, given by the host: printable ASCII without colons, at most 36 bytes (virtio,
    /// 5.11.4).
    pub tag: String,
    /// Mount point: absolute, without `.` and `..`, and no directory of the system.
    pub path: String,
    /// True if the folder is mounted read-only.
    pub read_only: bool,
}

/// Addresses of the network interfaces. Static addresses are IPv4 only: IPv6 is configured by
/// router advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// DHCP on every Ethernet interface, or on one.
    Dhcp {
        /// Name of the only interface that uses DHCP.
        device: Option<String>,
    },
    /// No addresses.
    Off,
    /// One static address.
    Static {
        /// Unicast address.
        addr: Ipv4Addr,
        /// Prefix length in bits, 1 to 32.
        prefix: u8,
        /// Default gateway.
        gateway: Option<Ipv4Addr>,
        /// Name servers, at most 3 (resolv.conf(5)).
        dns: Vec<Ipv4Addr>,
        /// Name of the interface; the first one if `None`.
        device: Option<String>,
    },
}

/// Contents of the consoles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Addresses, fingerprints, and how to connect.
    Status,
    /// Contents of [`Console::Status`], then a root shell.
    Shell,
    /// Empty.
    Off,
}

/// Sources of a document of Ignition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignition {
    /// Documents that the host offers, and a disk that `b2p data` has seen.
    Auto,
    /// Sources of [`Ignition::Auto`]; a disk is required, and is waited for.
    Disk,
    /// Sources of [`Ignition::Auto`]; without one, the host is asked over vsock.
    Vsock,
    /// None.
    Off,
}

/// Start of the podman API service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Podman {
    /// First connection; the service stops when idle.
    OnDemand,
    /// Boot.
    Boot,
    /// Never; no socket exists.
    Off,
}

/// Part of /etc that the data disk keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Etc {
    /// /etc/containers.
    Containers,
    /// The whole of /etc.
    All,
    /// No part: each boot begins with the files of the image.
    Ram,
}

/// API of the user's own podman, beside root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rootless {
    /// Socket in the user's runtime directory.
    On,
    /// None.
    Off,
    /// Socket as with [`Rootless::On`], to which docker's clients are led.
    Default,
}

/// Time at which podman updates containers that have the label io.containers.autoupdate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoUpdate {
    /// Never.
    Off,
    /// In the hour after midnight, at a time that is the machine's own.
    Daily,
    /// Each day at this local time.
    At {
        /// Hour, 0 to 23.
        hour: u8,
        /// Minute, 0 to 59.
        minute: u8,
    },
}

/// Verbosity of PID 1's log, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loglevel {
    /// Failures.
    Error,
    /// Deviations from the normal state.
    Warn,
    /// Steps of a boot.
    Info,
    /// Decisions and their reasons.
    Debug,
    /// Everything.
    Trace,
}

/// Check of the signatures of kernel modules when they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modules {
    /// Signatures are checked only if the kernel insists.
    Fast,
    /// Signatures are always checked.
    Verified,
}

/// Machine that receives the log by syslog (RFC 5424).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReceiver {
    /// DNS name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
    /// Transport of the messages.
    pub transport: Transport,
}

/// Transport of syslog messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram per message (RFC 5426).
    Udp,
    /// Connection with octet counting (RFC 6587).
    Tcp,
}
