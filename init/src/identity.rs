//! Who this machine is: host name, machine-id, the keys that may log in, the clock.

use std::fs;
use std::path::Path;

use config::Config;
use log::warn;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use sys::files::{read_bounded, replace};
use sys::paths::AUTHORIZED_KEYS;

/// 2026-01-01 in seconds since 1970: no image is older, so no clock may be.
const EARLIEST_CLOCK: i64 = 1_767_225_600;

/// Gives the machine an id (machine-id(5)): the one that its firmware has, so
/// that the same VM keeps it without a disk, else a random one.
///
/// # Errors
/// What could not be read or written.
pub fn write_machine_id() -> Result<(), String> {
    let path = Path::new("/etc/machine-id");
    if fs::read_to_string(path).is_ok_and(|t| valid_id(t.trim()).is_some()) {
        return Ok(()); // brought along by the image or a disk
    }
    let firmware = fs::read_to_string("/sys/class/dmi/id/product_uuid").ok();
    let id = firmware.and_then(|t| valid_id(&t.trim().replace('-', "").to_ascii_lowercase()));
    let id = match id {
        Some(id) => id,
        None => random_id().map_err(|e| format!("/dev/urandom: {e}"))?,
    };
    Ok(replace(path, format!("{id}\n").as_bytes(), 0o444)?)
}

/// 32 hexadecimal digits that are not all the same, as unset firmware has them.
fn valid_id(text: &str) -> Option<String> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let first = text.bytes().next()?;
    (hex && text.bytes().any(|b| b != first)).then(|| text.to_owned())
}

fn random_id() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    // Marked as a version 4 UUID, as machine-id(5) asks.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Writes the keys of the flags to where sshd reads them.
///
/// # Errors
/// What could not be written; or that nobody can log in.
pub fn write_keys(config: &Config) -> Result<(), String> {
    let mut text = config.ssh_keys.join("\n");
    text.push('\n');
    replace(Path::new(AUTHORIZED_KEYS), text.as_bytes(), 0o644)?;
    if config.sshd && config.ssh_keys.is_empty() {
        warn!(
            "no ssh key: nobody can log in but at a console; give one with b2p.ssh_key=\"ssh-ed25519 AAAA… you\""
        );
    }
    Ok(())
}

/// Adds the keys of the flags that are not among those that `b2p data` has joined.
///
/// # Errors
/// What could not be read or written.
pub fn add_keys(config: &Config) -> Result<(), String> {
    let path = Path::new(AUTHORIZED_KEYS);
    let bytes = read_bounded(path, 1 << 20).map_err(|e| format!("{AUTHORIZED_KEYS}: {e}"))?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for key in &config.ssh_keys {
        if !text.lines().any(|line| line == key) {
            text.push_str(key);
            text.push('\n');
        }
    }
    Ok(replace(path, text.as_bytes(), 0o644)?)
}

/// The kernel has set the clock from the RTC (CONFIG_RTC_HCTOSYS). Where there
/// is none, or its battery is dead, a clock before this program was written
/// breaks TLS and every log; its own date is nearer.
///
/// # Errors
/// What the system said.
pub fn set_clock() -> Result<(), String> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).map_err(|e| e.to_string())?;
    if now.tv_sec() >= EARLIEST_CLOCK {
        return Ok(());
    }
    warn!(
        "the clock says {} s since 1970, which cannot be: set to 2026-01-01",
        now.tv_sec()
    );
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(EARLIEST_CLOCK, 0))
        .map_err(|e| format!("clock_settime: {e}"))
}

/// Says so when the random number generator is not initialised: what waits for
/// it (host keys) then waits for the kernel's jitter entropy. Nothing that is
/// not secret is credited to it here.
pub fn warn_without_entropy() {
    let mut byte = [0u8; 1];
    if !sys::syscall::getrandom_nonblocking(&mut byte) {
        warn!(
            "the random number generator is still being seeded; a virtio-rng device makes this faster"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn firmware_that_knows_nothing_is_not_believed() {
        assert_eq!(valid_id(&"0".repeat(32)), None);
        assert_eq!(valid_id(&"f".repeat(32)), None);
        assert_eq!(valid_id("123"), None);
        assert_eq!(valid_id("g123456789abcdef0123456789abcdef"), None);
        assert!(valid_id("0123456789abcdef0123456789abcdef").is_some());
    }

    #[test]
    fn random_ids_are_valid_and_differ() {
        let (a, b) = (random_id().unwrap(), random_id().unwrap());
        assert!(valid_id(&a).is_some() && a != b);
        assert_eq!(&a[12..13], "4");
    }
}
