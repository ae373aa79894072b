// SPDX-License-Identifier: Apache-2.0
//! Power buttons: evdev devices with a power key (Documentation/input/event-codes.rst). ACPI's
//! button is one of them, by the driver `button`, and so are the gpio-keys of machines without
//! ACPI. Debian's cloud kernel has no driver of gpio-keys, so their lines are read directly
//! ([`gpio_keys`]).

pub mod gpio_keys;

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::{debug, info};
use sys::gpio;

use gpio_keys::GpioKey;

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

/// An open device.
#[derive(Debug)]
struct Button {
    name: String,
    file: fs::File,
    /// Size of an event in bytes, and the check for a press.
    event_bytes: usize,
    is_press: fn(&[u8]) -> bool,
}

/// The open devices.
#[derive(Debug, Default)]
pub struct PowerButtons(Vec<Button>);

impl PowerButtons {
    /// Opens every input device that exists and has a power key, and every power key of the device tree
    /// without a driver.
    pub fn open_all(&mut self) {
        let entries = fs::read_dir(SYS_CLASS_INPUT)
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.for_each(|name| self.open(&name));
        for key in gpio_keys::find(Path::new(gpio_keys::DEVICE_TREE), POWER_KEYS) {
            self.open_gpio_key(&key);
        }
    }

    /// Opens the line of a key. A line that is in use has a driver, whose input device is opened.
    fn open_gpio_key(&mut self, key: &GpioKey) {
        if !self.has_room_for(&key.name) {
            return;
        }
        match gpio_keys::open(key, Path::new(gpio_keys::CHIPS)) {
            Ok(file) => {
                debug!("power button: {}", key.name);
                self.0.push(Button {
                    name: key.name.clone(),
                    file,
                    event_bytes: gpio::EVENT_BYTES,
                    is_press: |_| true,
                });
            }
            Err(e) => debug!("{e}"),
        }
    }

    fn has_room_for(&self, name: &str) -> bool {
        self.0.len() < MAX_DEVICES && !self.0.iter().any(|button| button.name == name)
    }

    /// Opens one input device, such as `event0`, if it has a power key.
    pub fn open(&mut self, name: &str) {
        if !self.has_room_for(name) || !name.starts_with("event") {
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
                self.0.push(Button {
                    name: name.to_owned(),
                    file,
                    event_bytes: EVENT_BYTES,
                    is_press,
                });
            }
            Err(e) => debug!("{}: {e}", path.display()),
        }
    }

    /// Descriptors that poll(2) is to watch for input.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|button| button.file.as_fd())
    }

    /// Reads all events; returns true if a power key has been pressed. Closes devices that have
    /// vanished.
    pub fn read_press(&mut self) -> bool {
        let mut pressed = false;
        self.0.retain_mut(|button| {
            let mut bytes = [0u8; EVENT_BYTES * 16];
            match button.file.read(&mut bytes) {
                Ok(n) => {
                    let events = bytes.get(..n).unwrap_or(&[]);
                    let mut events = events.chunks_exact(button.event_bytes);
                    pressed |= events.any(button.is_press);
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
    fn only_the_press_of_a_power_key_counts() {
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
