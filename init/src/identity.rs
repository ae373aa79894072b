// SPDX-License-Identifier: Apache-2.0
//! Identity of the machine: machine-id, keys that may log in, the clock.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use config::Config;
use log::warn;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use sys::error::{Doing, Result};
use sys::files::{read_bounded, replace};
use sys::paths::{AUTHORIZED_KEYS, PODMAN_MACHINE_MARKER};

/// File with the id of the machine (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";
/// Id that firmware gives the machine.
const FIRMWARE_UUID: &str = "/sys/class/dmi/id/product_uuid";
/// Device of random bytes (random(4)).
const URANDOM: &str = "/dev/urandom";
/// Files by which podman 5 and podman 6 know that a host publishes the ports of containers (podman's
/// pkg/machine/machine_linux.go).
const PORT_MARKERS: [&str; 2] = ["/etc/containers/podman-machine", "/etc/podman-machine"];
/// Number of bytes of the machine-id that are read.
const MAX_ID_BYTES: u64 = 64;
/// Number of bytes of the file of keys that are read.
const MAX_KEYS_BYTES: u64 = 1 << 20;
/// 2026-01-01 in seconds since 1970. No image is older, so a clock before that is wrong.
const EARLIEST_CLOCK: i64 = 1_767_225_600;

/// Gives the machine an id: the one in the file if the image or a disk has brought one, else the
/// one of its firmware, so that a VM keeps its id without a disk, else a random one.
///
/// # Errors
/// No random bytes can be read, or the file cannot be written.
pub fn write_machine_id() -> Result<()> {
    let path = Path::new(MACHINE_ID);
    let id = read_bounded(path, MAX_ID_BYTES).unwrap_or_default();
    if is_valid_id(String::from_utf8_lossy(&id).trim()) {
        return Ok(());
    }
    let firmware = fs::read_to_string(FIRMWARE_UUID).unwrap_or_default();
    let firmware = firmware.trim().replace('-', "").to_ascii_lowercase();
    let id = match is_valid_id(&firmware) {
        true => firmware,
        false => random_id().on(URANDOM)?,
    };
    replace(path, format!("{id}\n").as_bytes(), 0o444)
}

/// Returns true for 32 hexadecimal digits that are not all equal, as those of unset firmware are.
fn is_valid_id(id: &str) -> bool {
    let is_hex = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex && id.bytes().any(|b| Some(b) != id.bytes().next())
}

/// Returns a version 4 UUID without dashes, as machine-id(5) asks for.
fn random_id() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    fs::File::open(URANDOM)?.read_exact(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Writes the markers by which podman learns that a podman-machine on the host publishes ports. With a marker,
/// podman refuses to publish if no host answers. A marker that exists without the flag belongs to
/// another tool of the host, and stays.
///
/// # Errors
/// A marker cannot be written.
pub fn write_port_markers() -> Result<()> {
    let mut markers = PORT_MARKERS
        .iter()
        .chain([&PODMAN_MACHINE_MARKER])
        .map(Path::new);
    markers.try_for_each(|path| replace(path, b"qemu\n", 0o644))
}

/// Writes the keys of the flags to the file that sshd reads. Without a key a warning is logged, because
/// no user can log in.
///
/// # Errors
/// The file cannot be written.
pub fn write_keys(config: &Config) -> Result<()> {
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

/// Adds the keys of the flags that are not in the file yet: `b2p data` has added those of the
/// data disk.
///
/// # Errors
/// The file cannot be read or written.
pub fn add_keys(config: &Config) -> Result<()> {
    let path = Path::new(AUTHORIZED_KEYS);
    let bytes = read_bounded(path, MAX_KEYS_BYTES).on(path)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for key in &config.ssh_keys {
        if !text.lines().any(|line| line == key) {
            text.push_str(key);
            text.push('\n');
        }
    }
    replace(path, text.as_bytes(), 0o644)
}

/// Corrects a clock that is before 2026, when no image existed. The kernel has set the clock from
/// the RTC (CONFIG_RTC_HCTOSYS); without an RTC, or with a dead battery, the wrong time breaks
/// TLS and every log, and 2026-01-01 is nearer.
///
/// # Errors
/// The clock cannot be read or set.
pub fn correct_clock() -> Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).doing("clock_gettime")?;
    if now.tv_sec() >= EARLIEST_CLOCK {
        return Ok(());
    }
    warn!(
        "the clock says {} s since 1970, which cannot be: set to 2026-01-01",
        now.tv_sec()
    );
    let earliest = TimeSpec::new(EARLIEST_CLOCK, 0);
    clock_settime(ClockId::CLOCK_REALTIME, earliest).doing("clock_settime")
}

/// Logs a warning if the random number generator is not seeded: programs that need it (for a
/// host key) then wait for the kernel's jitter entropy. Nothing is credited to the generator
/// here: PID 1 has no secret.
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
    fn ids_of_unset_firmware_are_refused() {
        assert!(!is_valid_id(&"0".repeat(32)));
        assert!(!is_valid_id(&"f".repeat(32)));
        assert!(!is_valid_id("123"));
        assert!(!is_valid_id(""));
        assert!(!is_valid_id("g123456789abcdef0123456789abcdef"));
        assert!(is_valid_id("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn random_ids_are_valid_and_differ() {
        let (a, b) = (random_id().unwrap(), random_id().unwrap());
        assert!(is_valid_id(&a) && a != b);
        assert_eq!(&a[12..13], "4");
    }
}
