//! Power buttons: evdev devices that can say KEY_POWER
//! (Documentation/input/event-codes.rst). ACPI's arrive here too, by the
//! `button` driver, and so do the gpio-keys of machines without ACPI.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::{debug, info};

/// input-event-codes.h
const EV_KEY: u16 = 1;
/// Power off; restart is what libkrun's arm64 machines send to ask for an end.
const POWER_KEYS: &[u16] = &[116, 0x198];
/// `struct input_event` on 64-bit: two words of time, type, code, value.
const EVENT_BYTES: usize = 24;
/// More are not listened to.
const MAX_DEVICES: usize = 8;

/// The open devices.
#[derive(Debug, Default)]
pub struct PowerButtons(Vec<(String, fs::File)>);

impl PowerButtons {
    /// Opens every input device that is there.
    pub fn open_all(&mut self) {
        let Ok(read) = fs::read_dir("/sys/class/input") else {
            return;
        };
        for name in read
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
        {
            self.open(&name);
        }
    }

    /// Opens one, such as `event0`, if it has such a key.
    pub fn open(&mut self, name: &str) {
        if self.0.iter().any(|(known, _)| known == name) {
            return;
        }
        let keys = Path::new("/sys/class/input")
            .join(name)
            .join("device/capabilities/key");
        let has = |text: &str| POWER_KEYS.iter().any(|k| has_bit(text, *k));
        if !name.starts_with("event")
            || self.0.len() >= MAX_DEVICES
            || !fs::read_to_string(keys).is_ok_and(|t| has(&t))
        {
            return;
        }
        let path = Path::new("/dev/input").join(name);
        match fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
        {
            Ok(file) => {
                debug!("power button: {}", path.display());
                self.0.push((name.to_owned(), file));
            }
            Err(e) => debug!("{}: {e}", path.display()),
        }
    }

    /// What `poll(2)` watches.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, file)| file.as_fd())
    }

    /// Whether one has been pressed. A device that has gone is forgotten.
    pub fn read_press(&mut self) -> bool {
        let mut pressed = false;
        self.0.retain_mut(|(_, file)| {
            let mut bytes = [0u8; EVENT_BYTES * 16];
            match file.read(&mut bytes) {
                Ok(n) => {
                    pressed |= bytes
                        .get(..n)
                        .unwrap_or(&[])
                        .chunks_exact(EVENT_BYTES)
                        .any(is_press)
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            true
        });
        if pressed {
            info!("power button");
        }
        pressed
    }
}

fn is_press(event: &[u8]) -> bool {
    let half = |at: usize| Some(u16::from_ne_bytes(event.get(at..at + 2)?.try_into().ok()?));
    half(16) == Some(EV_KEY)
        && half(18).is_some_and(|k| POWER_KEYS.contains(&k))
        && half(20) == Some(1)
}

/// Whether bit `n` is set in a sysfs capability bitmap: 64-bit words in
/// hexadecimal, the highest first (drivers/input/input.c, input_print_bitmap).
fn has_bit(words: &str, n: u16) -> bool {
    let word = words.split_whitespace().rev().nth(usize::from(n / 64));
    let value = word
        .and_then(|w| u64::from_str_radix(w, 16).ok())
        .unwrap_or(0);
    value >> (n % 64) & 1 == 1
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
