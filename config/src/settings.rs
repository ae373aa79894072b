//! The typed configuration: what PID 1 is told to do.

use std::fmt;
use std::net::Ipv4Addr;

/// Everything that can be set from outside. [`Default`] is a machine booted
/// with no flag at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `authorized_keys` lines for `root` and `core`, each checked, none twice.
    pub ssh_keys: Vec<String>,
    /// The name of the user with number 1000: what useradd(8) takes.
    pub user: String,
    /// Which disk keeps the state.
    pub data: DiskSelector,
    /// Whether a disk labelled `cidata` may configure the machine.
    pub cloud: bool,
    /// Which disk may be formatted.
    pub format: FormatPolicy,
    /// RFC 1123 name, at most 64 bytes (Linux `HOST_NAME_MAX`).
    pub hostname: String,
    /// How the network cards get their addresses.
    pub net: Net,
    /// What the consoles show.
    pub console: Console,
    /// When the podman API service runs.
    pub podman: Podman,
    /// Whether sshd runs.
    pub sshd: bool,
    /// Who asks the web for us.
    pub proxy: Proxy,
    /// What the profile on the data disk exports, for the engine and for sessions; no
    /// name twice.
    pub environment: Vec<(String, String)>,
    /// Services by name that are started with the machine, or are not, whatever
    /// their row says; each once.
    pub services: Vec<(String, bool)>,
    /// A shell before any service.
    pub rescue: bool,
    /// Which version of a disk with two this is.
    pub slot: Option<Slot>,
    /// How much PID 1 logs.
    pub loglevel: Loglevel,
    /// Whether the signatures of kernel modules are checked.
    pub modules: Modules,
    /// Other machines may reach containers by their own addresses.
    pub routed: bool,
    /// Tiny Core `waitusb=`: how long to wait for a slow disk.
    pub waitusb: Option<WaitUsb>,
    /// Tiny Core `tz=`: a POSIX TZ string or a zoneinfo name; printable ASCII,
    /// never absolute and never with `..`, so that it is safe under zoneinfo.
    pub tz: Option<String>,
    /// The hardware clock keeps UTC; false by Tiny Core's `noutc`.
    pub utc: bool,
    /// Whether the host reaches ssh and the API over vsock.
    pub vsock: bool,
    /// Folders of the host; no path twice.
    pub shares: Vec<SharedFolder>,
    /// Extensions by name, each once, in the order in which they are added.
    pub extensions: Vec<String>,
    /// What is swapped to: at most one of zram and one file.
    pub swaps: Vec<Swap>,
    /// There may be swap; false by Tiny Core's `noswap`, whatever else is said.
    pub swap: bool,
    /// Consoles log in without asking; false by Tiny Core's `noautologin`.
    pub autologin: bool,
    /// Tiny Core `ntpserver=`: a DNS name or an address.
    pub ntpserver: Option<String>,
    /// Tiny Core `blacklist=`: kernel modules never to load, `-` made `_`.
    pub blacklist: Vec<String>,
    /// Tiny Core `swapfile=`: the partition that holds `tc.swp`; never
    /// [`DiskSelector::Auto`] nor [`DiskSelector::Off`].
    pub swapfile: Option<DiskSelector>,
    /// Tiny Core `syslog`: keep a system log in files.
    pub syslog: bool,
    /// Receiver of the machine's log, where there is one.
    pub rsyslog: Option<LogReceiver>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ssh_keys: Vec::new(),
            user: String::from("core"),
            data: DiskSelector::Auto,
            cloud: true,
            format: FormatPolicy::Magic,
            hostname: String::from("boot2podman"),
            net: Net::Dhcp { device: None },
            console: Console::Status,
            podman: Podman::OnDemand,
            sshd: true,
            proxy: Proxy::default(),
            environment: Vec::new(),
            services: Vec::new(),
            rescue: false,
            slot: None,
            loglevel: Loglevel::Info,
            modules: Modules::Fast,
            routed: false,
            waitusb: None,
            tz: None,
            utc: true,
            vsock: false,
            shares: Vec::new(),
            extensions: Vec::new(),
            swaps: Vec::new(),
            swap: true,
            autologin: true,
            ntpserver: None,
            blacklist: Vec::new(),
            swapfile: None,
            syslog: false,
            rsyslog: None,
        }
    }
}

impl Config {
    /// The environment of the engine and of sessions: what the profile exports, then the
    /// proxies, each under both of its names (curl reads the small letters alone). No
    /// name twice.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = self.environment.clone();
        let proxies = [
            ("HTTP_PROXY", &self.proxy.http),
            ("HTTPS_PROXY", &self.proxy.https),
            ("NO_PROXY", &self.proxy.none),
        ];
        for (name, value) in proxies {
            let Some(value) = value else { continue };
            for name in [name.to_owned(), name.to_ascii_lowercase()] {
                all.retain(|(known, _)| *known != name);
                all.push((name, value.clone()));
            }
        }
        all
    }

    /// Whether there is to be any swap.
    #[must_use]
    pub fn asks_for_swap(&self) -> bool {
        self.swap && (self.swapfile.is_some() || !self.swaps.is_empty())
    }

    /// Whether any of it is on a disk.
    #[must_use]
    pub fn swaps_to_disk(&self) -> bool {
        let disk = |swap: &Swap| !matches!(swap, Swap::Zram(_));
        self.swap && (self.swapfile.is_some() || self.swaps.iter().any(disk))
    }
}

/// One of the two places for a version on a disk of `make disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `a` or `b`.
    pub name: char,
    /// Why it was booted.
    pub role: Role,
}

impl Slot {
    pub(crate) const fn new(name: char, role: Role) -> Self {
        Self { name, role }
    }
}

/// Why a slot was booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the one that is kept, or somebody has picked it.
    Kept,
    /// It is new: if it does not become ready, the other one comes back.
    Trial,
    /// The other one is new, and has not become ready.
    Fallback,
}

/// A disk to keep state on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskSelector {
    /// The one that is ours, by label or magic.
    Auto,
    /// None: everything stays in RAM.
    Off,
    /// The file system with this label.
    Label(String),
    /// The file system with this UUID, as written (compare without case).
    Uuid(String),
    /// The partition with this UUID, as written (compare without case).
    PartUuid(String),
    /// This device node, a path under `/dev/` without `..`.
    Device(String),
}

impl DiskSelector {
    /// Returns true if the selector names the device `name` of /sys/class/block, where the kernel
    /// writes `!` for `/`.
    #[must_use]
    pub fn is_device(&self, name: &str) -> bool {
        match self {
            DiskSelector::Device(path) => path
                .strip_prefix("/dev/")
                .is_some_and(|node| node.replace('/', "!") == name),
            _ => false,
        }
    }
}

impl fmt::Display for DiskSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskSelector::Auto => f.write_str("auto"),
            DiskSelector::Off => f.write_str("off"),
            DiskSelector::Label(label) => write!(f, "LABEL={label}"),
            DiskSelector::Uuid(uuid) => write!(f, "UUID={uuid}"),
            DiskSelector::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            DiskSelector::Device(path) => f.write_str(path),
        }
    }
}

/// Proxies; each printable ASCII without spaces or quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `HTTP_PROXY`: a URL, or a host and a port.
    pub http: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `NO_PROXY`: hosts, domains, networks, with commas between.
    pub none: Option<String>,
}

/// A folder of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFolder {
    /// What the host calls it: printable ASCII without colons, at most 36 bytes (virtio,
    /// 5.11.4).
    pub tag: String,
    /// Where it is mounted: absolute, without `.` and `..`, no place of the system's.
    pub path: String,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// Something to swap to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Memory, compressed.
    Zram(ZramSize),
    /// A swap partition; never [`DiskSelector::Auto`] nor [`DiskSelector::Off`].
    Disk(DiskSelector),
    /// A file on the data disk, of so many MiB.
    File(u32),
}

impl Swap {
    /// There is one zram and one file, and no partition twice: the later holds.
    pub(crate) fn gives_way_to(&self, later: &Swap) -> bool {
        match (self, later) {
            (Swap::Disk(one), Swap::Disk(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(later),
        }
    }
}

/// How large zram is, counted before it is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZramSize {
    /// Of the memory; 1 to 300.
    Percent(u32),
    /// So many MiB.
    Mib(u32),
}

/// Which disk may be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatPolicy {
    /// One that begins with the words that ask for it.
    Magic,
    /// One that is blank, too.
    Blank,
    /// None.
    Never,
}

/// How the network cards get their addresses. Static addresses are IPv4 only:
/// IPv6 comes by router advertisement, and its parser is not small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// By DHCP, on every Ethernet card or on this one alone.
    Dhcp {
        /// The only card to ask on.
        device: Option<String>,
    },
    /// Not at all.
    Off,
    /// By hand.
    Static {
        /// A unicast address.
        addr: Ipv4Addr,
        /// Length of the network part in bits, 1 to 32.
        prefix: u8,
        /// The default route.
        gateway: Option<Ipv4Addr>,
        /// Name servers, at most 3 (as many as resolv.conf(5) takes).
        dns: Vec<Ipv4Addr>,
        /// The card; the first one where not said.
        device: Option<String>,
    },
}

/// What the consoles show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Addresses, fingerprints, how to connect.
    Status,
    /// The same, then a root shell.
    Shell,
    /// Nothing.
    Off,
}

/// When the podman API service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Podman {
    /// From the first connection on, until idle.
    OnDemand,
    /// From boot on.
    Boot,
    /// Never; there is no socket.
    Off,
}

/// How much PID 1 logs, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loglevel {
    /// What failed.
    Error,
    /// What is not as it should be.
    Warn,
    /// What a boot does.
    Info,
    /// What it decides, and why.
    Debug,
    /// Everything.
    Trace,
}

/// Tiny Core `waitusb=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitUsb {
    /// At most this long, in seconds; 0 to 3600.
    pub seconds: u16,
    /// Until this disk is there; never [`DiskSelector::Auto`] nor [`DiskSelector::Off`]. Where
    /// not said, the whole time is waited out.
    pub disk: Option<DiskSelector>,
}

/// A machine that collects logs, by syslog (RFC 5424).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReceiver {
    /// DNS name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
    /// How messages are sent there.
    pub transport: Transport,
}

/// How messages of syslog are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram each (RFC 5426).
    Udp,
    /// Over a connection, with octet counting (RFC 6587).
    Tcp,
}

/// Whether the signatures of kernel modules are checked when they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modules {
    /// Only where the kernel insists.
    Fast,
    /// Always.
    Verified,
}
