// SPDX-License-Identifier: Apache-2.0
//! Power buttons: evdev devices with a power key (Documentation/input/event-codes.rst). ACPI's
//! button is one of them, by the driver `button`, and so are the gpio-keys of machines without
//! ACPI.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::{debug, info};

/// Directory with an entry for each input device.
const SYS_CLASS_INPUT: &str = "/sys/class/input";
/// Event type of keys (input-event-codes.h).
const EV_KEY: u16 = 1;
/// KEY_POWER, and KEY_RESTART, which libkrun's arm64 machines send to request a shutdown.
const POWER_KEYS: &[u16] = &[116, 0x198];
/// Size of `struct input_event` on 64-bit, in bytes: two words of time, then type, code, value.
const EVENT_BYTES: usize = 24;
/// Number of devices that are listened to.
const MAX_DEVICES: usize = 8;

/// The open devices, each with its name.
#[derive(Debug, Default)]
pub struct PowerButtons(Vec<(String, fs::File)>);

impl PowerButtons {
    /// Opens every input device that exists and has a power key.
    pub fn open_all(&mut self) {
        let entries = fs::read_dir(SYS_CLASS_INPUT)
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.for_each(|name| self.open(&name));
    }

    /// Opens one input device, such as `event0`, if it has a power key.
    pub fn open(&mut self, name: &str) {
        let known = self.0.iter().any(|(other, _)| other == name);
        if known || self.0.len() >= MAX_DEVICES || !name.starts_with("event") {
            return;
        }
        let keys = Path::new(SYS_CLASS_INPUT).join(name);
        let keys = fs::read_to_string(keys.join("device/capabilities/key")).unwrap_or_default();
        if !POWER_KEYS.iter().any(|key| has_bit(&keys, *key)) {
            return;
        }
        let path = Path::new("/dev/input").join(name);
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        match options.open(&path) {
            Ok(file) => {
                debug!("power button: {}", path.display());
                self.0.push((name.to_owned(), file));
            }
            Err(e) => debug!("{}: {e}", path.display()),
        }
    }

    /// Descriptors that poll(2) is to watch for input.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, file)| file.as_fd())
    }

    /// Reads all events; returns true if a power key has been pressed. Closes devices that have
    /// vanished.
    pub fn read_press(&mut self) -> bool {
        let mut pressed = false;
        self.0.retain_mut(|(_, file)| {
            let mut bytes = [0u8; EVENT_BYTES * 16];
            match file.read(&mut bytes) {
                Ok(n) => {
                    let events = bytes.get(..n).unwrap_or(&[]);
                    pressed |= events.chunks_exact(EVENT_BYTES).any(is_press);
                    true
                }
                Err(e) => e.kind() == ErrorKind::WouldBlock,
            }
        });
        if pressed {
            info!("power button");
        }
        pressed
    }
}

fn is_press(event: &[u8]) -> bool {
    let u16_at = |at: usize| Some(u16::from_ne_bytes(event.get(at..at + 2)?.try_into().ok()?));
    let is_power_key = u16_at(18).is_some_and(|key| POWER_KEYS.contains(&key));
    u16_at(16) == Some(EV_KEY) && is_power_key && u16_at(20) == Some(1)
}

/// Returns true if bit `n` is set in a bitmap of sysfs: 64-bit words in hexadecimal, the highest
/// first (drivers/input/input.c, input_print_bitmap).
fn has_bit(bitmap: &str, n: u16) -> bool {
    let word = bitmap.split_whitespace().rev().nth(usize::from(n / 64));
    let value = word.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.unwrap_or(0) >> (n % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps() {
        assert!(has_bit("10000000000000 0\n", 116));
        assert!(!has_bit("0 10000000000000\n", 116));
        assert!(!has_bit("", 116) && !has_bit("zz zz", 116));
    }

    #[test]
    fn only_a_press_is_a_press() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut e = vec![0; 16];
            e.extend(kind.to_ne_bytes());
            e.extend(code.to_ne_bytes());
            e.extend(value.to_ne_bytes());
            e
        };
        assert!(is_press(&event(1, 116, 1)));
        assert!(!is_press(&event(1, 116, 0)), "a release");
        assert!(!is_press(&event(1, 30, 1)) && !is_press(&event(0, 0, 0)) && !is_press(&[]));
    }
}
