// SPDX-License-Identifier: Apache-2.0
//! Options of `poweroff`, `reboot`, `halt` and `shutdown`: those of busybox, sysvinit and systemd.

use control::ShutdownKind;

use crate::common::args::{Arg, Args, Problem};
use crate::common::clock::DAY;

/// Delay of `shutdown` without a time, in seconds, as with systemd.
const SHUTDOWN_DELAY: u32 = 60;
/// Most digits of a number of minutes, hours or seconds.
const MAX_DIGITS: usize = 6;

/// Action that a command line requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Orderly shutdown by PID 1, after this many seconds.
    Shutdown(ShutdownKind, u32),
    /// Immediate end by reboot(2), without PID 1, after a sync(2) if the second field is true.
    Force(ShutdownKind, bool),
    /// Cancels a scheduled shutdown.
    Cancel,
    /// Does nothing, for this reason.
    Nothing(&'static str),
}

/// Options that have been read so far.
struct Options {
    /// The command is `shutdown`, whose letters have meanings of their own.
    is_shutdown: bool,
    kind: ShutdownKind,
    delay: Option<u32>,
    force: bool,
    sync: bool,
    /// Action that outranks a shutdown.
    other: Option<Action>,
}

/// Returns the action that the command `name` with `args` requests. `now` is the second of the day.
///
/// # Errors
/// An option is unknown, or a time is not valid.
pub fn parse(name: &str, args: &[String], now: u32) -> Result<Action, Problem> {
    let mut options = Options::of(name);
    let mut has_time = false;
    let mut args = Args::new(args);
    while let Some(arg) = args.next_arg()? {
        match arg {
            // busybox: -d SECONDS; systemd and sysvinit: -d, no record in wtmp.
            Arg::Short('d') if !options.is_shutdown => {
                let seconds = args
                    .optional_number()
                    .and_then(|digits| digits.parse().ok());
                options.delay = seconds.or(options.delay);
            }
            // sysvinit: seconds between SIGTERM and SIGKILL, which PID 1 decides here.
            Arg::Short('t') if options.is_shutdown => drop(args.optional_number()),
            Arg::Short(letter) => options.short(letter).ok_or_else(|| arg.unknown())?,
            Arg::Long(option) => options.long(option).ok_or_else(|| arg.unknown())?,
            // The message of a cancellation has no readers.
            Arg::Operand(_) if options.other == Some(Action::Cancel) => break,
            Arg::Operand(more) if has_time => {
                return Err(Problem::Wrong(format!("unexpected argument {more}")));
            }
            Arg::Operand(time) => {
                options.delay = Some(delay(time, now).ok_or_else(|| wrong_time(time))?);
                has_time = true;
                if options.is_shutdown {
                    break; // The rest is a message for terminals, which is not sent.
                }
            }
        }
    }
    Ok(options.action())
}

fn wrong_time(text: &str) -> Problem {
    Problem::Wrong(format!("invalid time {text}: use now, +MINUTES or hh:mm"))
}

impl Options {
    /// Returns the options of the command `name` without arguments.
    fn of(name: &str) -> Options {
        Options {
            is_shutdown: name == "shutdown",
            kind: match name {
                "reboot" => ShutdownKind::Reboot,
                "halt" => ShutdownKind::Halt,
                _ => ShutdownKind::PowerOff,
            },
            delay: None,
            force: false,
            sync: true,
            other: None,
        }
    }

    fn action(self) -> Action {
        let default_delay = if self.is_shutdown { SHUTDOWN_DELAY } else { 0 };
        match self.other {
            Some(other) => other,
            None if self.force => Action::Force(self.kind, self.sync),
            None => Action::Shutdown(self.kind, self.delay.unwrap_or(default_delay)),
        }
    }

    /// Takes a long option; returns `None` for an unknown one.
    fn long(&mut self, option: &str) -> Option<()> {
        match option {
            "poweroff" => self.kind = ShutdownKind::PowerOff,
            "reboot" => self.kind = ShutdownKind::Reboot,
            "halt" => self.kind = ShutdownKind::Halt,
            "force" if !self.is_shutdown => self.force = true,
            "no-sync" => self.sync = false,
            "wtmp-only" => self.other = Some(Action::Nothing("there is no wtmp here")),
            "no-wtmp" | "no-wall" => {}
            _ => return None,
        }
        Some(())
    }

    /// Takes a short option; returns `None` for an unknown one.
    fn short(&mut self, letter: char) -> Option<()> {
        match (letter, self.is_shutdown) {
            // systemd's shutdown -h powers off; sysvinit's -h means "halt or power off".
            ('h' | 'P', true) | ('p', false) => self.kind = ShutdownKind::PowerOff,
            ('r', true) => self.kind = ShutdownKind::Reboot,
            ('H', true) => self.kind = ShutdownKind::Halt,
            ('c', true) => self.other = Some(Action::Cancel),
            ('k', true) => self.other = Some(Action::Nothing("nobody to warn but you")),
            ('f', false) => self.force = true,
            ('n', false) => self.sync = false,
            ('w', false) => self.other = Some(Action::Nothing("there is no wtmp here")),
            // Disks to stand-by, interfaces down, no wtmp, fsck or not: no matter here.
            ('h' | 'i' | 'd', false) | ('f' | 'F' | 'n' | 'a', true) => {}
            _ => return None,
        }
        Some(())
    }
}

/// Returns the seconds until `now`, `+MINUTES` or the next `hh:mm`.
fn delay(text: &str, now: u32) -> Option<u32> {
    if text == "now" {
        return Some(0);
    }
    if let Some((hours, minutes)) = text.split_once(':') {
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let then = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
        return Some((then + DAY - now % DAY) % DAY);
    }
    let minutes = number(text.strip_prefix('+').unwrap_or(text))?;
    minutes.checked_mul(60)
}

/// Reads digits; `str::parse` would take a sign as well.
fn number(text: &str) -> Option<u32> {
    let is_number = text.len() <= MAX_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
