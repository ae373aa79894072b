// SPDX-License-Identifier: Apache-2.0
//! `b2p time`, the time service: corrects the system clock where the kernel alone does not.
//!
//! A virtual machine whose host slept, that was paused, or that was restored from a snapshot
//! continues with its old time. A clock that ran on meanwhile shows the difference: the host's own clock where the
//! hypervisor exports it (ptp_kvm), else the hardware clock. The clocks are compared every eight seconds, and
//! `podman-machine` sends the time at once ([`virtio_port`]); a machine that is not virtual never sleeps without its
//! kernel, and is not woken. Time servers are queried only where `ntpserver=`, `ip=` or DHCP names some.

mod clock_changes;
mod clocks;
mod drift;
mod request;
mod round;
mod sntp;
mod trust;
mod virtio_port;
pub mod zone;

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use config::Config;
use log::{debug, info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use sys::error::{Doing, Result};
use sys::paths::{NTP_SERVERS, RUNTIME_DIR};

use crate::common::degraded::Degraded;
pub use clock_changes::ClockChanges;
use clocks::HostClock;
pub use clocks::is_clock_set;
use drift::{ClockSample, Drift, Ms, compare, correction, signed_seconds};
use request::Request;
use round::Round;
use trust::Server;
use virtio_port::VirtioPort;

/// Time between two comparisons of the clocks, in milliseconds. Nothing announces to the kernel that
/// its machine was paused, so that the clock can only be right after the next comparison: within
/// ten seconds, with the second that the hardware clock takes to tick.
const CHECK_INTERVAL: Ms = 8_000;
/// Time between two requests to a server, in milliseconds (RFC 5905: at least every 1024 s).
const POLL_INTERVAL: Ms = 1_024_000;
/// Time between two requests where no other clock would show a sleep, and while no server is believed, in
/// milliseconds.
const POLL_INTERVAL_ALONE: Ms = 64_000;
/// Pause after the first failure, in milliseconds, which doubles up to [`POLL_INTERVAL`].
const RETRY: Ms = 4_000;
/// Largest difference that is slewed instead of stepped, in milliseconds: at 500 ppm that
/// takes less than 20 minutes.
const MAX_SLEW: Ms = 500;
/// Number of servers that are asked.
const MAX_SERVERS: usize = 8;
/// 2026-01-01, at which PID 1 starts a clock that was never set (`init/src/identity.rs`), and the time
/// for which such a clock then counts as never set, in milliseconds.
const CLOCK_START: Ms = sntp::ERA_START * 1000;
const START_DAY: Ms = 86_400_000;

/// Directory of the virtio ports (drivers/char/virtio_console.c).
const PORTS: &str = "/sys/class/virtio-ports";
/// Time between two readings of the hardware clock while its next second is awaited, and the
/// number of readings.
const RTC_PROBE: Duration = Duration::from_millis(10);
const RTC_PROBES: u32 = 150;

/// Runs until a signal ends the process, and returns the exit status of a failure.
pub fn main() -> i32 {
    // PID 1 has reported the faults of the flags.
    let (config, _) = sys::config_sources::read();
    let keeper = Keeper::new(&config);
    if keeper.is_ok() {
        // The service's row in PID 1's table requires this message; degraded lines use the same
        // socket.
        crate::common::notify::ready();
    }
    match keeper.and_then(Keeper::run) {
        Ok(never) => match never {},
        Err(e) => {
            warn!("time: {e}");
            1
        }
    }
}

/// The state of the service.
struct Keeper {
    /// True if the hardware clock keeps UTC.
    utc: bool,
    /// Server that a flag names.
    configured_server: Option<String>,
    host_clock: Option<HostClock>,
    /// True if the hardware clock is compared with the boot time.
    watch_rtc: bool,
    /// Sample that later ones are compared with.
    baseline: Option<ClockSample>,
    servers: Vec<Server>,
    /// Sum of the steps that a server alone has caused ([`trust::judge`]), and the time of the last one.
    alone: (Ms, Ms),
    /// Refusals of servers' answers, which PID 1 lists.
    degraded: Degraded,
    /// Time of the next request to a server, on `CLOCK_BOOTTIME`.
    query_at: Option<Ms>,
    /// Requests that are under way.
    round: Option<Round>,
    /// Number of failures since the last answer.
    failures: u32,
    /// Watch for a new file of servers.
    inotify: Inotify,
    /// Port on which the host sends the time.
    virtio_port: Option<VirtioPort>,
    /// Watch for steps of the clock.
    changes: ClockChanges,
}

impl Keeper {
    fn new(config: &Config) -> Result<Keeper> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        let inotify = inotify.doing("inotify")?;
        let watch = inotify.add_watch(RUNTIME_DIR, AddWatchFlags::IN_MOVED_TO);
        watch.on(RUNTIME_DIR).doing("inotify")?;
        let host_clock = clocks::host_clock(config);
        let mut keeper = Keeper {
            utc: config.utc,
            configured_server: config.ntpserver.clone(),
            watch_rtc: host_clock.is_none() && clocks::is_guest() && clocks::rtc(true).is_some(),
            host_clock,
            baseline: None,
            servers: Vec::new(),
            alone: (0, 0),
            degraded: Degraded::of("time"),
            query_at: None,
            round: None,
            failures: 0,
            inotify,
            virtio_port: VirtioPort::find(Path::new(PORTS), Path::new("/dev")),
            changes: ClockChanges::watch().doing("timerfd")?,
        };
        keeper.read_servers();
        Ok(keeper)
    }

    fn run(mut self) -> Result<std::convert::Infallible> {
        loop {
            let slept = self.follow_host() || self.catch_up();
            if slept && !self.servers.is_empty() {
                self.query_at = Some(clocks::boottime());
            }
            // Answers of an earlier round may be from before the sleep, or from other servers.
            if self.query_at.is_some_and(|at| at <= clocks::boottime()) {
                self.query_at = None;
                self.round = Some(Round::of(self.servers.clone()));
            }
            self.hear_servers();
            self.wait()?;
        }
    }

    /// Sleeps until the next comparison or request, or until DHCP names servers.
    fn wait(&mut self) -> Result<()> {
        let now = clocks::boottime();
        let compares = self.watch_rtc || self.host_clock.is_some();
        let check_at = compares.then_some(now + CHECK_INTERVAL);
        let next = [check_at, self.query_at].into_iter().flatten().min();
        let timeout = next.map_or(PollTimeout::NONE, |at| {
            let ms = i32::try_from((at - now).max(0)).unwrap_or(i32::MAX);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::ZERO)
        });
        let port = self.virtio_port.as_ref().map(VirtioPort::fd);
        let request = self.round.as_ref().and_then(Round::request);
        let own = [self.inotify.as_fd(), self.changes.fd()];
        let fds = own.into_iter().chain(port).chain(request.map(Request::fd));
        let mut fds: Vec<PollFd> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let name = Path::new(NTP_SERVERS).file_name();
        let events = self.inotify.read_events().unwrap_or_default();
        if events.iter().any(|event| event.name.as_deref() == name) {
            self.read_servers();
        }
        self.hear_host();
        // A clock that was set may agree with a server that was not believed.
        if self.changes.were_seen() && !self.degraded.is_empty() {
            self.query_at = Some(clocks::boottime());
        }
        Ok(())
    }

    /// Sets the clock to the time that the host sends on its port.
    fn hear_host(&mut self) {
        let Some(host) = self.virtio_port.as_mut().and_then(VirtioPort::read) else {
            return;
        };
        let lead = virtio_port::lead(host, clocks::realtime(), clocks::rtc(self.utc));
        if lead.is_some_and(|lead| correct(lead, "the host")) {
            self.baseline = None;
        }
    }

    /// Reads the names of the servers; new ones are asked at once.
    fn read_servers(&mut self) {
        let dhcp = fs::read_to_string(NTP_SERVERS).unwrap_or_default();
        let mut servers = trust::servers(self.configured_server.as_deref(), &dhcp);
        servers.truncate(MAX_SERVERS);
        if servers != self.servers {
            self.degraded.update([]);
            self.failures = 0;
            self.round = None;
            self.query_at = (!servers.is_empty()).then(clocks::boottime);
            self.servers = servers;
        }
    }

    /// Follows the host's clock, if there is one; returns true if the clock was stepped.
    fn follow_host(&mut self) -> bool {
        let Some(host_clock) = &self.host_clock else {
            return false;
        };
        match host_clock.lead() {
            Ok(lead) => correct(lead, "the host's clock"),
            Err(e) => {
                warn!("time: the host's clock: {e}; the hardware clock is watched instead");
                self.host_clock = None;
                self.watch_rtc = clocks::rtc(true).is_some();
                false
            }
        }
    }

    /// Steps the clock if the machine stood still; returns true if the clock was stepped.
    fn catch_up(&mut self) -> bool {
        let Some(now) = self.watch_rtc.then(|| self.sample()).flatten() else {
            return false;
        };
        let baseline = *self.baseline.get_or_insert(now);
        let jump = match compare(&baseline, &now) {
            Drift::None => return false,
            Drift::RtcSet => 0,
            Drift::Slept(jump) => jump,
        };
        if jump > 0 {
            let exact = self.sample_at_rtc_second().unwrap_or(now);
            let why = "the machine stood still, its hardware clock did not";
            step_clock(correction(&baseline, &exact, jump), why);
        }
        self.baseline = self.sample();
        jump > 0
    }

    fn sample(&self) -> Option<ClockSample> {
        Some(ClockSample {
            rtc: clocks::rtc(self.utc)?,
            boottime: clocks::boottime(),
            realtime: clocks::realtime(),
        })
    }

    /// Takes a sample at the moment at which the hardware clock begins a second: at any other
    /// moment its fraction is not known, and nothing announces that one.
    fn sample_at_rtc_second(&self) -> Option<ClockSample> {
        let first = self.sample()?;
        for _ in 0..RTC_PROBES {
            let sample = self.sample()?;
            if sample.rtc != first.rtc {
                return Some(sample);
            }
            std::thread::sleep(RTC_PROBE);
        }
        None
    }

    /// Plans the next request after an answer, and lists why answers were refused.
    fn answered(&mut self, refusals: Vec<String>) {
        self.failures = 0;
        let interval = match refusals.is_empty() {
            true => self.poll_interval(),
            false => POLL_INTERVAL_ALONE,
        };
        self.query_at = Some(clocks::boottime() + interval);
        // The first line stays: the offsets of repeated wrong answers differ by milliseconds.
        if refusals.len() != self.degraded.len() {
            self.degraded
                .update(refusals.into_iter().map(|why| ("time", why)));
        }
    }

    fn poll_interval(&self) -> Ms {
        match self.watch_rtc || self.host_clock.is_some() || !clocks::is_guest() {
            true => POLL_INTERVAL,
            false => POLL_INTERVAL_ALONE,
        }
    }
}

/// Returns the pause after `failures` failures, in milliseconds.
fn retry_delay(failures: u32) -> Ms {
    (RETRY << failures.saturating_sub(1).min(16)).min(POLL_INTERVAL)
}

/// Corrects the clock, which is `offset` behind that of `source`; returns true after a step.
fn correct(offset: Ms, source: &str) -> bool {
    if offset.abs() > MAX_SLEW {
        return step_clock(offset, source);
    }
    debug!("time: {} by {source}", signed_seconds(offset));
    if let Err(e) = clocks::slew(offset) {
        warn!("time: {} by {source}: {e}", signed_seconds(offset));
    }
    false
}

/// Steps the clock and logs the step; returns true.
fn step_clock(by: Ms, why: &str) -> bool {
    match clocks::step(by) {
        Ok(()) => info!("clock stepped by {}: {why}", signed_seconds(by)),
        Err(e) => warn!(
            "clock is off by {} ({why}), and cannot be set: {e}",
            signed_seconds(by)
        ),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hardware clock begins a second within a second of the comparison.
    #[test]
    fn the_clock_is_right_ten_seconds_after_a_pause() {
        let second = RTC_PROBE.as_millis() * u128::from(RTC_PROBES);
        assert!((1_000..2_000).contains(&second) && CHECK_INTERVAL + 2_000 <= 10_000);
    }

    #[test]
    fn retry_delay_doubles_up_to_the_poll_interval() {
        let delay = retry_delay;
        assert_eq!((delay(1), delay(2), delay(3)), (4_000, 8_000, 16_000));
        assert_eq!((delay(9), delay(u32::MAX)), (POLL_INTERVAL, POLL_INTERVAL));
        assert!((1..40).all(|n| delay(n) <= delay(n + 1)));
    }
}
