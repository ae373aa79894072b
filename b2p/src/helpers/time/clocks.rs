//! The clocks of the machine: the hardware's, the host's, the system's.
#![expect(unsafe_code, reason = "adjtimex(2), clock ids of devices, mktime(3)")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::time::{ClockId, clock_gettime, clock_settime};

use super::drift::Ms;

/// The hardware clock in seconds since 1970, as if it kept UTC
/// (Documentation/ABI/testing/sysfs-class-rtc).
const RTC: &str = "/sys/class/rtc/rtc0/since_epoch";
/// `ADJ_OFFSET_SINGLESHOT`: adjtime(3), at 500 ppm (uapi/linux/timex.h).
const SLEW: libc::c_uint = 0x8001;

/// The hardware clock, or `None` where there is none, or none that goes.
/// `utc`: it keeps UTC; else local time.
#[must_use]
pub fn rtc(utc: bool) -> Option<Ms> {
    let text = fs::read_to_string(RTC).ok()?;
    let seconds: i64 = text.trim().parse().ok()?;
    let seconds = if utc { seconds } else { from_local(seconds)? };
    seconds.checked_mul(1000)
}

/// Seconds since 1970 of a local time that was taken for UTC, by the machine's
/// time zone. In the hour that comes twice the C library chooses.
#[must_use]
pub fn from_local(seconds: i64) -> Option<i64> {
    // SAFETY: plain data; zero is valid. gmtime_r fills it, mktime reads it.
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

/// `CLOCK_BOOTTIME`.
#[must_use]
pub fn running() -> Ms {
    Ms::try_from(sys::clock::now()).unwrap_or(Ms::MAX)
}

/// `CLOCK_REALTIME`.
#[must_use]
pub fn real() -> Ms {
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
/// What the system said.
pub fn step(by: Ms) -> io::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let nanoseconds = i128::from(now.tv_sec()) * 1_000_000_000
        + i128::from(now.tv_nsec())
        + i128::from(by) * 1_000_000;
    let bad = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).map_err(bad)?;
    let rest = i64::try_from(nanoseconds.rem_euclid(1_000_000_000)).map_err(bad)?;
    let to = nix::sys::time::TimeSpec::new(seconds, rest);
    clock_settime(ClockId::CLOCK_REALTIME, to).map_err(Into::into)
}

/// Makes the system clock run a little faster or slower until it has caught up:
/// no program sees it jump.
///
/// # Errors
/// What the system said.
pub fn slew(by: Ms) -> io::Result<()> {
    // SAFETY: plain data; zero is valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = SLEW;
    timex.offset = by.saturating_mul(1000);
    // SAFETY: a live struct timex.
    let done = unsafe { libc::adjtimex(&raw mut timex) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The host's clock, as the hypervisor shows it (drivers/ptp/ptp_kvm_common.c).
#[derive(Debug)]
pub struct Host(File);

impl Host {
    /// The one there is: KVM's, or Hyper-V's.
    #[must_use]
    pub fn find(class: &Path) -> Option<Host> {
        let all = fs::read_dir(class).ok()?.flatten();
        let names = |e: &fs::DirEntry| {
            let name = fs::read_to_string(e.path().join("clock_name")).unwrap_or_default();
            matches!(name.trim(), "KVM virtual PTP" | "hyperv")
        };
        let one = all.into_iter().find(names)?;
        File::open(Path::new("/dev").join(one.file_name()))
            .ok()
            .map(Host)
    }

    /// How far the system clock is behind it.
    ///
    /// # Errors
    /// What the system said.
    pub fn ahead(&self) -> io::Result<Ms> {
        // clock_getres(2): the clock of a descriptor.
        let id = (!self.0.as_raw_fd() << 3) | 3;
        // SAFETY: plain data; zero is valid.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: a live timespec; the descriptor is open as long as `self` is.
        if unsafe { libc::clock_gettime(id, &raw mut time) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ms(time.tv_sec, time.tv_nsec).saturating_sub(real()))
    }
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
        assert!(Host::find(&dir).is_none());
        assert!(Host::find(&dir.join("none")).is_none());
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn local_time_is_taken_for_what_it_is() {
        // Where the zone is UTC, and to the hour or so elsewhere.
        let now = 1_800_000_000;
        let utc = from_local(now).unwrap_or(0);
        assert!((utc - now).abs() <= 15 * 3600 && (utc - now) % 900 == 0);
    }
}
