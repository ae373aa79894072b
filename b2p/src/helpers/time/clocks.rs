// SPDX-License-Identifier: Apache-2.0
//! The hardware clock, the host's clock and the system clock.
#![expect(unsafe_code, reason = "adjtimex(2), clock ids of devices, mktime(3)")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use config::Config;
use log::{debug, info};
use nix::time::{ClockId, clock_gettime, clock_settime};

use sys::modules::Modules;

use super::drift::Ms;

/// File with the hardware clock in seconds since 1970, read as UTC
/// (Documentation/ABI/testing/sysfs-class-rtc).
const RTC: &str = "/sys/class/rtc/rtc0/since_epoch";
/// Mode of adjtime(3), at 500 ppm (uapi/linux/timex.h).
const ADJ_OFFSET_SINGLESHOT: libc::c_uint = 0x8001;

/// Reads the hardware clock, which keeps UTC if `utc`, else local time. Returns `None` if
/// there is none, or none that runs.
#[must_use]
pub fn rtc(utc: bool) -> Option<Ms> {
    let text = fs::read_to_string(RTC).ok()?;
    let seconds: i64 = text.trim().parse().ok()?;
    let seconds = if utc { seconds } else { from_local(seconds)? };
    seconds.checked_mul(1000)
}

/// Converts a local time that was read as UTC to seconds since 1970, by the machine's time zone. In
/// the hour that occurs twice in autumn the C library chooses.
#[must_use]
pub fn from_local(seconds: i64) -> Option<i64> {
    // SAFETY: plain data; zero is valid. gmtime_r fills the structure, mktime reads it.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live values; null is checked.
    let broken = unsafe { libc::gmtime_r(&raw const seconds, &raw mut tm) };
    if broken.is_null() {
        return None;
    }
    tm.tm_isdst = -1; // not known
    // SAFETY: a live struct tm. Nothing else in this program has threads that
    // change the environment.
    let utc = unsafe { libc::mktime(&raw mut tm) };
    (utc != -1).then_some(utc)
}

/// Reads `CLOCK_BOOTTIME`.
#[must_use]
pub fn boottime() -> Ms {
    Ms::try_from(sys::clock::now()).unwrap_or(Ms::MAX)
}

/// Reads `CLOCK_REALTIME`.
#[must_use]
pub fn realtime() -> Ms {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |t| ms(t.tv_sec(), t.tv_nsec()))
}

fn ms(seconds: i64, nanoseconds: i64) -> Ms {
    seconds
        .saturating_mul(1000)
        .saturating_add(nanoseconds / 1_000_000)
}

/// Steps the system clock.
///
/// # Errors
/// The result is no time, or the errno of clock_settime(2).
pub fn step(by: Ms) -> io::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let nanoseconds = i128::from(now.tv_sec()) * 1_000_000_000
        + i128::from(now.tv_nsec())
        + i128::from(by) * 1_000_000;
    let bad = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).map_err(bad)?;
    let rest = i64::try_from(nanoseconds.rem_euclid(1_000_000_000)).map_err(bad)?;
    let to = nix::sys::time::TimeSpec::new(seconds, rest);
    Ok(clock_settime(ClockId::CLOCK_REALTIME, to)?)
}

/// Makes the system clock run a little faster or slower until it has caught up, so that no program
/// sees a jump.
///
/// # Errors
/// The errno of adjtimex(2).
pub fn slew(by: Ms) -> io::Result<()> {
    // SAFETY: plain data; zero is valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = ADJ_OFFSET_SINGLESHOT;
    timex.offset = by.saturating_mul(1000);
    // SAFETY: a live struct timex.
    let done = unsafe { libc::adjtimex(&raw mut timex) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The host's clock, exported by the hypervisor (drivers/ptp/ptp_kvm_common.c).
#[derive(Debug)]
pub struct HostClock(File);

impl HostClock {
    /// Opens the clock of KVM or of Hyper-V in the directory `class`, if there is one.
    #[must_use]
    pub fn find(class: &Path) -> Option<HostClock> {
        let mut devices = fs::read_dir(class).ok()?.flatten();
        let is_host = |e: &fs::DirEntry| {
            let name = fs::read_to_string(e.path().join("clock_name")).unwrap_or_default();
            matches!(name.trim(), "KVM virtual PTP" | "hyperv")
        };
        let device = devices.find(is_host)?;
        let path = Path::new("/dev").join(device.file_name());
        File::open(path).ok().map(HostClock)
    }

    /// Returns by how much the system clock is behind the host's.
    ///
    /// # Errors
    /// The errno of clock_gettime(2).
    pub fn lead(&self) -> io::Result<Ms> {
        // clock_getres(2): the clock of a descriptor.
        let id = (!self.0.as_raw_fd() << 3) | 3;
        // SAFETY: plain data; zero is valid.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: a live timespec; the descriptor is open as long as `self` is.
        if unsafe { libc::clock_gettime(id, &raw mut time) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ms(time.tv_sec, time.tv_nsec).saturating_sub(realtime()))
    }
}

/// Opens the host's clock. The driver of KVM's clock, which no device requests, is loaded first.
#[must_use]
pub fn host_clock(config: &Config) -> Option<HostClock> {
    let sources = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    let sources = fs::read_to_string(sources).unwrap_or_default();
    if may_have_kvm_clock(std::env::consts::ARCH, &sources) {
        load_ptp_kvm(config);
    }
    let host_clock = HostClock::find(Path::new("/sys/class/ptp"));
    if host_clock.is_some() {
        info!("time: follows the host's clock");
    }
    host_clock
}

/// Returns true where KVM's clock may be: on x86 it is among the clock sources of the kernel; on Arm the driver
/// itself asks the host (drivers/ptp/ptp_kvm_arm.c, `kvm_arch_ptp_init`), and is refused on other hosts.
fn may_have_kvm_clock(arch: &str, sources: &str) -> bool {
    let is_named = sources.split_whitespace().any(|name| name == "kvm-clock");
    arch == "aarch64" || is_named
}

/// Returns true where a host may pause the machine.
#[must_use]
pub fn is_guest() -> bool {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    may_be_guest(std::env::consts::ARCH, &cpuinfo)
}

/// Returns true in a virtual machine (CPUID 1, ECX bit 31), and on every machine that is not x86: there the
/// kernel does not show the fact, and a comparison with the hardware clock does no harm.
fn may_be_guest(arch: &str, cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let mut flags = flags.into_iter().flat_map(str::split_whitespace);
    arch != "x86_64" || flags.any(|flag| flag == "hypervisor")
}

fn load_ptp_kvm(config: &Config) {
    let verify = config.modules == config::Modules::Verified;
    match Modules::open(Path::new("/")) {
        Ok(mut modules) => {
            modules.configure(&config.blacklist, verify);
            if let Err(e) = modules.load("ptp_kvm") {
                debug!("time: ptp_kvm: {e}");
            }
        }
        Err(e) => debug!("time: ptp_kvm: {e}"),
    }
}

/// Returns true unless the clock counts from the time at which PID 1 starts one that was never set.
#[must_use]
pub fn is_clock_set() -> bool {
    realtime() >= super::CLOCK_START + boottime() + super::START_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_clock_is_followed() {
        let dir = std::env::temp_dir().join(format!("b2p-ptp-{}", std::process::id()));
        let card = dir.join("ptp0");
        fs::create_dir_all(&card).unwrap_or_default();
        fs::write(card.join("clock_name"), "ena-ptp\n").unwrap_or_default();
        assert!(HostClock::find(&dir).is_none());
        assert!(HostClock::find(&dir.join("none")).is_none());
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn kvms_clock_is_asked_for() {
        for (arch, sources, wanted) in [
            ("x86_64", "kvm-clock tsc acpi_pm \n", true),
            ("x86_64", "tsc acpi_pm\n", false),
            ("aarch64", "arch_sys_counter\n", true),
        ] {
            assert_eq!(
                may_have_kvm_clock(arch, sources),
                wanted,
                "{arch} {sources}"
            );
        }
    }

    #[test]
    fn a_machine_that_may_be_paused() {
        let (x86, arm) = (
            "processor	: 0
flags		: fpu",
            "processor	: 0
Features	: fp",
        );
        for (arch, cpuinfo, wanted) in [
            (
                "x86_64",
                format!(
                    "{x86} hypervisor lahf_lm
"
                ),
                true,
            ),
            (
                "x86_64",
                format!(
                    "{x86} vmx
"
                ),
                false,
            ),
            ("x86_64", String::new(), false),
            (
                "aarch64",
                format!(
                    "{arm} asimd cpuid
"
                ),
                true,
            ),
            ("aarch64", String::new(), true),
        ] {
            assert_eq!(may_be_guest(arch, &cpuinfo), wanted, "{arch} {cpuinfo}");
        }
    }

    #[test]
    fn local_time_is_taken_for_what_it_is() {
        // Where the zone is UTC, and to the hour or so elsewhere.
        let now = 1_800_000_000;
        let utc = from_local(now).unwrap_or(0);
        assert!((utc - now).abs() <= 15 * 3600 && (utc - now) % 900 == 0);
    }
}
