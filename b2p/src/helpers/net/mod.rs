//! The network service: a process of its own, so that what comes from the
//! network is never parsed in PID 1: `b2p net …`.
//!
//! It brings up every Ethernet card, now and when one appears, gives it its
//! static address or keeps a DHCP lease for it, and writes resolv.conf. It
//! sleeps in poll(2) between events; an idle machine is not woken.

mod apply;
mod card;
mod dhcp;
mod firewall;
pub mod lease;
mod link;
mod netlink;
pub mod packet;
mod plan;
mod resolv;
pub mod router;
mod sockets;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use log::{error, info};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use config::Config;
use services::Millis;
use sys::clock::now;
use sys::files::replace;
use sys::hostname;
use sys::net::{SYS_CLASS_NET, ethernet_interfaces, interface_addresses};
use sys::paths::{NETWORK_PLANS, RESOLV_CONF};

use card::Card;
use firewall::Guard;
use plan::Plan;

/// The ready line waits for five seconds (init/src/service_table/table.rs).
const PATIENCE: Millis = 4_000;

/// What comes within so long of a first message is taken as one.
const TOGETHER: Duration = Duration::from_millis(50);

/// Runs until it is killed.
pub fn main(words: &[String]) -> ! {
    let plan = Plan::parse(words).unwrap_or_else(|why| {
        println!("{why}");
        std::process::exit(2)
    });
    let single = match plan {
        Plan::Dhcp(None) => std::fs::read_to_string(NETWORK_PLANS).unwrap_or_default(),
        _ => String::new(),
    };
    let single = plan::lines(&single);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let mut network = Network {
        guard: Guard::new(config.routed),
        plans: if single.is_empty() {
            vec![plan]
        } else {
            single
        },
        hostname: hostname.trim().to_owned(),
        cards: Vec::new(),
        told: false,
        patience: now() + PATIENCE,
        dns: false,
        ntp: String::new(),
    };
    match network.run() {
        Ok(never) => match never {},
        Err(e) => {
            error!("network: {e}");
            std::process::exit(1)
        }
    }
}

struct Network {
    /// Of the first that covers a card it is a part.
    plans: Vec<Plan>,
    hostname: String,
    cards: Vec<Card>,
    told: bool,
    guard: Guard,
    /// Until then an IPv6 address alone is not enough.
    patience: Millis,
    /// The name servers in resolv.conf are ours.
    dns: bool,
    /// The time servers that were told of.
    ntp: String,
}

impl Network {
    fn run(&mut self) -> io::Result<std::convert::Infallible> {
        let links = netlink::news()?;
        let clock = clock()?;
        let resolv = Path::new(RESOLV_CONF);
        if !resolv.exists() {
            resolv::write(resolv, &resolv::text(&[], &[]))?;
        }
        loop {
            self.scan();
            self.tell();
            // After that: a driver may have to be loaded for it.
            let cards: Vec<_> = self.cards.iter().map(Card::name).collect();
            self.guard.follow(&cards);
            self.wait(&links, &clock)?;
        }
    }

    /// Finds cards that came, forgets those that went, and looks at every link.
    fn scan(&mut self) {
        let names = ethernet_interfaces(Path::new(SYS_CLASS_NET));
        let before = self.cards.len();
        self.cards
            .retain(|c| names.iter().any(|(name, index)| c.is(name, *index)));
        let gone = self.cards.len() != before;
        for (name, index) in names {
            let known = self.cards.iter().any(|c| c.is(&name, index));
            let mut plans = self.plans.iter();
            let plan = plans.find(|p| p.covers(&name, self.cards.len()));
            let Some(plan) = plan.filter(|_| !known) else {
                continue;
            };
            match Card::open(&name, index, plan, &self.hostname) {
                Ok(card) => self.cards.push(card),
                Err(e) => error!("{name}: {e}"),
            }
        }
        let changed = self
            .cards
            .iter_mut()
            .map(|c| c.look(now()))
            .fold(false, |a, b| a | b);
        self.changed(changed || gone);
    }

    /// Sleeps until a card, a link, the clock or a deadline has something.
    fn wait(&mut self, links: &OwnedFd, clock: &TimerFd) -> io::Result<()> {
        let v6 = Some(self.patience).filter(|at| !self.told && *at > now());
        let deadline = self.cards.iter().filter_map(Card::deadline);
        let deadline = deadline.chain(v6).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            let ms = at.saturating_sub(now()).min(i32::MAX as u64);
            PollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX))
                .unwrap_or(PollTimeout::ZERO)
        });
        let watched = [links.as_fd(), clock.as_fd()];
        let mut fds: Vec<PollFd<'_>> = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).into();
        fds.extend(
            self.cards
                .iter()
                .map(|c| PollFd::new(c.socket(), PollFlags::POLLIN)),
        );
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        // A container that ends is thirty messages within a fifth of a second, and to look
        // at all links costs 2 ms of instructions: once for all that come together. A card
        // whose link comes up before the machine has an address is not kept waiting.
        if self.told && readable(&fds) {
            std::thread::sleep(TOGETHER);
        }
        let told = drain(links);
        // It is never due: if there is something to read, the clock was set.
        let set = clock.wait().is_ok();
        if set && self.cards.iter().any(Card::leased) {
            info!("network: the clock was set; leases are asked for again");
        }
        let mut changed = false;
        for card in &mut self.cards {
            changed |= card.work(now());
            changed |= set && card.doubt(now());
            let news = told.iter().map(|t| card.hear(t, now()));
            changed |= news.fold(false, |a, b| a | b);
        }
        self.changed(changed);
        Ok(())
    }

    /// An address came or went: resolv.conf follows.
    fn changed(&mut self, changed: bool) {
        if !changed {
            return;
        }
        self.servers();
        self.rename();
        // What a lease says first: not every container has IPv6.
        let leases = self.cards.iter().flat_map(Card::dns);
        let dns: Vec<_> = leases
            .chain(self.cards.iter().flat_map(Card::told))
            .collect();
        let domains: Vec<_> = self.cards.iter().filter_map(Card::domain).collect();
        // A lease without DNS must not take away what another way provided; what
        // we provided, it does.
        if dns.is_empty() && !self.dns {
            return;
        }
        self.dns = !dns.is_empty();
        if let Err(e) = resolv::write(Path::new(RESOLV_CONF), &resolv::text(&dns, &domains)) {
            error!("{}: {e}", RESOLV_CONF);
        }
    }

    /// The time service hears of the servers by this file.
    fn servers(&mut self) {
        let all: Vec<_> = self.cards.iter().flat_map(Card::ntp).collect();
        let text: String = all.iter().map(|a| format!("{a}\n")).collect();
        if text == self.ntp {
            return;
        }
        match replace(Path::new(sys::paths::NTP_SERVERS), text.as_bytes(), 0o644) {
            Ok(()) => self.ntp = text,
            Err(e) => error!("{e}"),
        }
    }

    /// A machine that nobody has named takes the name that its network has for it.
    fn rename(&mut self) {
        let Some(name) = self.cards.iter().find_map(Card::hostname) else {
            return;
        };
        let unnamed = Config::default().hostname;
        let now = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if now.trim() != unnamed || name == unnamed {
            return;
        }
        match hostname::set(&name) {
            Ok(()) => info!("network: this machine is {name}"),
            Err(e) => error!("network: {e}"),
        }
    }

    /// Says READY=1 once there is an address. One of IPv6 is as good where there is no
    /// other; where there is one, most come for that.
    fn tell(&mut self) {
        let v6 = || now() >= self.patience && !interface_addresses().is_empty();
        if self.told || !(self.cards.iter().any(Card::has_address) || v6()) {
            return;
        }
        self.told = true;
        crate::common::notify::ready();
    }
}

/// Wakes when somebody sets the clock, as the time service does after the machine has
/// slept (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`); and else in 2106.
fn clock() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    let never = Expiration::OneShot(TimeSpec::new(i64::from(u32::MAX), 0));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(never, flags)?;
    Ok(timer)
}

/// Whether the first of them has something to read.
fn readable(fds: &[PollFd<'_>]) -> bool {
    fds.first().and_then(PollFd::any).unwrap_or_default()
}

/// What routers told of. What the messages say of links does not matter: sysfs is read
/// after each.
fn drain(fd: &OwnedFd) -> Vec<router::Told> {
    let mut told = Vec::new();
    let mut bytes = [0; 8192];
    for _ in 0..1024 {
        match recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(n) => told.extend(router::told(bytes.get(..n).unwrap_or(&[]))),
            Err(_) => return told, // EAGAIN; or ENOBUFS, after which sysfs is read anyway
        }
    }
    info!("network: links change without end");
    told
}
