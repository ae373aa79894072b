//! The time service: `b2p time`. It keeps the system clock right where the kernel
//! alone does not.
//!
//! A virtual machine whose host slept, that was paused, or that was restored from a
//! snapshot goes on with the clock it had. What ran on meanwhile says so: the host's
//! own clock where the hypervisor shows it (ptp_kvm), else the hardware clock. Once
//! a minute they are looked at; a machine that is no virtual one never sleeps
//! without its kernel, and is not woken. Time servers are asked where somebody
//! named some: `ntpserver=`, `ip=`, or DHCP. No others ever are.

mod clocks;
mod drift;
mod sntp;
pub mod zone;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use config::Config;
use log::{debug, info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use sys::modules::Modules;
use sys::paths::NTP_SERVERS;

use clocks::Host;
use drift::{Look, Ms, Verdict, compare, seconds, step};

/// How often the clocks are compared.
const LOOK: Ms = 60_000;
/// How often a server is asked whose time is only to be kept (RFC 5905: at least
/// every 1024 s).
const KEEP: Ms = 1_024_000;
/// The same where nothing else would tell of a sleep.
const WATCH: Ms = 64_000;
/// After a failure: so long, twice that, and so on up to [`KEEP`].
const AGAIN: Ms = 4_000;
/// A clock that is further off is stepped, else it is slewed: at 500 ppm that
/// takes less than 20 minutes.
const SLEW: Ms = 500;

/// Runs until it is killed.
pub fn main() -> i32 {
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    match Keeper::new(&config).and_then(Keeper::run) {
        Ok(never) => match never {},
        Err(e) => {
            warn!("time: {e}");
            1
        }
    }
}

struct Keeper {
    /// The hardware clock keeps UTC.
    utc: bool,
    named: Option<String>,
    host: Option<Host>,
    /// The hardware clock tells of sleeps.
    watch: bool,
    /// When all was well.
    before: Option<Look>,
    servers: Vec<String>,
    /// When a server is asked, on `CLOCK_BOOTTIME`.
    ask: Option<Ms>,
    failures: u32,
    told: Inotify,
}

impl Keeper {
    fn new(config: &Config) -> io::Result<Keeper> {
        let told = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let dir = Path::new(NTP_SERVERS).parent().unwrap_or(Path::new("/run"));
        told.add_watch(dir, AddWatchFlags::IN_MOVED_TO)?;
        let host = host(config);
        let mut keeper = Keeper {
            utc: config.utc,
            named: config.ntpserver.clone(),
            watch: host.is_none() && guest() && clocks::rtc(true).is_some(),
            host,
            before: None,
            servers: Vec::new(),
            ask: None,
            failures: 0,
            told,
        };
        keeper.learn();
        Ok(keeper)
    }

    fn run(mut self) -> io::Result<std::convert::Infallible> {
        loop {
            let slept = self.follow() || self.awake();
            if slept && !self.servers.is_empty() {
                self.ask = Some(clocks::running());
            }
            if self.ask.is_some_and(|at| at <= clocks::running()) {
                self.consult();
            }
            self.wait()?;
        }
    }

    /// Sleeps until it is time to look again, or DHCP has told of servers.
    fn wait(&mut self) -> io::Result<()> {
        let now = clocks::running();
        let look = (self.watch || self.host.is_some()).then_some(now + LOOK);
        let next = [look, self.ask].into_iter().flatten().min();
        let timeout = next.map_or(PollTimeout::NONE, |at| {
            let ms = i32::try_from((at - now).max(0)).unwrap_or(i32::MAX);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::ZERO)
        });
        let mut fds = [PollFd::new(self.told.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let name = Path::new(NTP_SERVERS).file_name();
        let events = self.told.read_events().unwrap_or_default();
        if events.iter().any(|e| e.name.as_deref() == name) {
            self.learn();
        }
        Ok(())
    }

    /// Takes the servers that are named now; new ones are asked at once.
    fn learn(&mut self) {
        let told = fs::read_to_string(NTP_SERVERS).unwrap_or_default();
        let servers = servers(self.named.as_deref(), &told);
        if servers != self.servers {
            self.failures = 0;
            self.ask = (!servers.is_empty()).then(clocks::running);
            self.servers = servers;
        }
    }

    /// Follows the host's clock, if it is shown. `true` if that was far off.
    fn follow(&mut self) -> bool {
        let Some(host) = &self.host else {
            return false;
        };
        match host.ahead() {
            Ok(ahead) => correct(ahead, "the host's clock"),
            Err(e) => {
                warn!("time: the host's clock: {e}; the hardware clock is watched instead");
                self.host = None;
                self.watch = clocks::rtc(true).is_some();
                false
            }
        }
    }

    /// Looks whether the machine stood still, and makes up for it. `true` if it did.
    fn awake(&mut self) -> bool {
        let Some(now) = self.watch.then(|| self.look()).flatten() else {
            return false;
        };
        let before = *self.before.get_or_insert(now);
        let jump = match compare(&before, &now) {
            Verdict::Quiet => return false,
            Verdict::Set => 0,
            Verdict::Slept(jump) => jump,
        };
        if jump > 0 {
            let exact = self.edge().unwrap_or(now);
            let why = "the machine stood still, its hardware clock did not";
            jumped(step(&before, &exact, jump), why);
        }
        self.before = self.look();
        jump > 0
    }

    fn look(&self) -> Option<Look> {
        Some(Look {
            rtc: clocks::rtc(self.utc)?,
            running: clocks::running(),
            real: clocks::real(),
        })
    }

    /// A look at the moment at which the hardware clock begins a second, which it
    /// does once a second: until then its fraction is not known.
    fn edge(&self) -> Option<Look> {
        let first = self.look()?;
        for _ in 0..150 {
            let look = self.look()?;
            if look.rtc != first.rtc {
                return Some(look);
            }
            std::thread::sleep(Duration::from_millis(10)); // nothing tells of it
        }
        None
    }

    /// Asks the servers, one after the other, until one answers.
    fn consult(&mut self) {
        let mut failed = Vec::new();
        for server in &self.servers {
            match sntp::ask(server, sntp::PORT) {
                Ok(ahead) => {
                    // Where the host's clock is followed, a server has no say.
                    if self.host.is_none() {
                        correct(ahead, server);
                        self.before = None;
                    }
                    self.failures = 0;
                    let other = self.watch || self.host.is_some() || !guest();
                    self.ask = Some(clocks::running() + if other { KEEP } else { WATCH });
                    return;
                }
                Err(why) => failed.push(why),
            }
        }
        self.failures += 1;
        if self.failures == 1 {
            warn!(
                "time: no server answers: {}; they are asked again",
                failed.join("; ")
            );
        }
        self.ask = Some(clocks::running() + again(self.failures));
    }
}

/// How long after so many failures, in milliseconds.
fn again(failures: u32) -> Ms {
    (AGAIN << failures.saturating_sub(1).min(16)).min(KEEP)
}

/// Puts the clock right that is `ahead` behind `who`. `true` if it was stepped.
fn correct(ahead: Ms, who: &str) -> bool {
    if ahead.abs() > SLEW {
        return jumped(ahead, who);
    }
    debug!("time: {} by {who}", seconds(ahead));
    if let Err(e) = clocks::slew(ahead) {
        warn!("time: {} by {who}: {e}", seconds(ahead));
    }
    false
}

/// Steps the clock and says so, whatever comes of it.
fn jumped(by: Ms, why: &str) -> bool {
    match clocks::step(by) {
        Ok(()) => info!("clock stepped by {}: {why}", seconds(by)),
        Err(e) => warn!(
            "clock is off by {} ({why}), and cannot be set: {e}",
            seconds(by)
        ),
    }
    true
}

/// The servers to ask: those of the flags, else those that DHCP told of.
fn servers(named: Option<&str>, told: &str) -> Vec<String> {
    match named {
        Some(name) => vec![name.to_owned()],
        None => told.lines().take(4).map(str::to_owned).collect(),
    }
}

/// The host's clock: that there is one shows when its driver is loaded, for which no
/// device asks.
fn host(config: &Config) -> Option<Host> {
    let sources = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    let sources = fs::read_to_string(sources).unwrap_or_default();
    if sources.split_whitespace().any(|s| s == "kvm-clock") {
        let verify = config.modules == config::Modules::Verified;
        let load = |mut modules: Modules| {
            modules.configure(&config.blacklist, verify);
            modules.load("ptp_kvm").map_err(|e| e.to_string())
        };
        if let Err(why) = Modules::open(Path::new("/"))
            .map_err(String::from)
            .and_then(load)
        {
            debug!("time: ptp_kvm: {why}");
        }
    }
    let host = Host::find(Path::new("/sys/class/ptp"));
    if host.is_some() {
        info!("time: follows the host's clock");
    }
    host
}

/// Whether this is a virtual machine (CPUID 1, ECX bit 31).
fn guest() -> bool {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find(|l| l.starts_with("flags"));
    flags.is_some_and(|f| f.split_whitespace().any(|w| w == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_dhcp_and_nobody_is_asked_without() {
        assert_eq!(servers(Some("ntp.example"), "10.0.0.1\n"), ["ntp.example"]);
        assert_eq!(
            servers(None, "10.0.0.1\n10.0.0.2\n"),
            ["10.0.0.1", "10.0.0.2"]
        );
        assert!(servers(None, "").is_empty());
    }

    #[test]
    fn who_does_not_answer_is_asked_ever_less_often() {
        assert_eq!((again(1), again(2), again(3)), (4_000, 8_000, 16_000));
        assert_eq!((again(9), again(u32::MAX)), (KEEP, KEEP));
        assert!((1..40).all(|n| again(n) <= again(n + 1)));
    }
}
