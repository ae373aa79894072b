//! `poweroff`, `reboot`, `halt`, `shutdown`: our binary under those names, for
//! people and for the kernel's own orderly_poweroff() (kernel/reboot.c), with the
//! options of busybox, sysvinit and systemd.
//!
//! PID 1 is asked on the control channel, which keeps delays; if it does not
//! answer there, by the signal that every init knows.

use control::{Request, RequestError, ShutdownKind};
use nix::errno::Errno;
use nix::sys::reboot::reboot;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sys::signals::signal_for;

use crate::common::clock;
use crate::common::control_client::{self, ControlClient};
use crate::common::terminal::{complain, print};

/// What is left of a disk that does not take what is written to it, in milliseconds.
const SYNC_MS: i32 = 10_000;
/// What `shutdown` without a time means, as with systemd.
const SHUTDOWN_DELAY: u32 = 60;

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The end, after so many seconds.
    Shutdown(ShutdownKind, u32),
    /// The end by reboot(2), at once, past PID 1; what is written is synced first, or not.
    Force(ShutdownKind, bool),
    /// No end after all.
    Cancel,
    /// Nothing to be done, for this reason.
    Nothing(&'static str),
}

/// What is taken in as the words are read.
struct Words {
    kind: ShutdownKind,
    delay: Option<u32>,
    force: bool,
    sync: bool,
    other: Option<Wish>,
}

/// What `name` with these words asks for. `now` is the second of the day.
///
/// # Errors
/// The word that is not understood.
pub fn parse(name: &str, words: &[String], now: u32) -> Result<Wish, String> {
    let shutdown = name == "shutdown";
    let mut taken = Words {
        kind: match name {
            "reboot" => ShutdownKind::Reboot,
            "halt" => ShutdownKind::Halt,
            _ => ShutdownKind::PowerOff,
        },
        delay: None,
        force: false,
        sync: true,
        other: None,
    };
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(word) = rest.next() {
        let number = |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_digit());
        match (word, shutdown) {
            // busybox: -d SECONDS; systemd and sysvinit: -d, no record in wtmp.
            ("-d", false) => {
                let seconds = rest.next_if(number).and_then(|w| w.parse().ok());
                taken.delay = seconds.or(taken.delay);
            }
            // sysvinit: seconds between TERM and KILL, which are PID 1's to know.
            ("-t", true) => drop(rest.next_if(number)),
            _ if word.starts_with("--") => long(&mut taken, word, name)?,
            _ if word.starts_with('-') && word.len() > 1 => {
                for letter in word.chars().skip(1) {
                    short(&mut taken, letter, shutdown)
                        .ok_or_else(|| format!("{name}: -{letter}: no such option"))?;
                }
            }
            _ if taken.other == Some(Wish::Cancel) => break, // a message
            _ => {
                let at = time(word, now).ok_or_else(|| bad_time(name, word))?;
                taken.delay = Some(at);
                if shutdown {
                    break; // the words after it are for a wall that nobody reads
                }
                if let Some(more) = rest.peek().filter(|w| !w.starts_with('-')) {
                    return Err(format!("{name}: {more}: one word too many"));
                }
            }
        }
    }
    Ok(taken.wish(shutdown))
}

fn bad_time(name: &str, word: &str) -> String {
    format!("{name}: {word}: when? now, +MINUTES or hh:mm")
}

impl Words {
    fn wish(self, shutdown: bool) -> Wish {
        let usual = if shutdown { SHUTDOWN_DELAY } else { 0 };
        match self.other {
            Some(other) => other,
            None if self.force => Wish::Force(self.kind, self.sync),
            None => Wish::Shutdown(self.kind, self.delay.unwrap_or(usual)),
        }
    }
}

fn long(taken: &mut Words, word: &str, name: &str) -> Result<(), String> {
    match word {
        "--poweroff" => taken.kind = ShutdownKind::PowerOff,
        "--reboot" => taken.kind = ShutdownKind::Reboot,
        "--halt" => taken.kind = ShutdownKind::Halt,
        "--force" if name != "shutdown" => taken.force = true,
        "--no-sync" => taken.sync = false,
        "--wtmp-only" => taken.other = Some(Wish::Nothing("there is no wtmp here")),
        "--no-wtmp" | "--no-wall" => {}
        _ => return Err(format!("{name}: {word}: no such option")),
    }
    Ok(())
}

/// One letter; `None` if it is no option.
fn short(taken: &mut Words, letter: char, shutdown: bool) -> Option<()> {
    match (letter, shutdown) {
        // systemd's shutdown -h powers off; on sysvinit it is "halt or power off".
        ('h' | 'P', true) | ('p', false) => taken.kind = ShutdownKind::PowerOff,
        ('r', true) => taken.kind = ShutdownKind::Reboot,
        ('H', true) => taken.kind = ShutdownKind::Halt,
        ('c', true) => taken.other = Some(Wish::Cancel),
        ('k', true) => taken.other = Some(Wish::Nothing("nobody to warn but you")),
        ('f', false) => taken.force = true,
        ('n', false) => taken.sync = false,
        ('w', false) => taken.other = Some(Wish::Nothing("there is no wtmp here")),
        // Disks to stand-by, interfaces down, no wtmp, fsck or not: no matter here.
        ('h' | 'i' | 'd', false) | ('f' | 'F' | 'n' | 'a', true) => {}
        _ => return None,
    }
    Some(())
}

/// Seconds until `now`, `+MINUTES` or the next `hh:mm`.
fn time(word: &str, now: u32) -> Option<u32> {
    if word == "now" {
        return Some(0);
    }
    let digits = |w: &str| (1..=6).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_digit());
    if let Some((h, min)) = word.split_once(':') {
        let (h, min): (u32, u32) = match digits(h) && digits(min) {
            true => (h.parse().ok()?, min.parse().ok()?),
            false => return None,
        };
        let then = (h < 24 && min < 60).then_some(h * 3600 + min * 60)?;
        return Some((then + clock::DAY - now % clock::DAY) % clock::DAY);
    }
    let minutes = word.strip_prefix('+').unwrap_or(word);
    let minutes: u32 = digits(minutes).then(|| minutes.parse().ok()).flatten()?;
    minutes.checked_mul(60)
}

/// What reaches out of this process.
pub trait Edge {
    /// Asks PID 1 on the control channel.
    ///
    /// # Errors
    /// A refusal, or why there is no answer.
    fn ask(&self, request: &Request) -> Result<(), RequestError>;
    /// Sends PID 1 the signal that asks for this.
    ///
    /// # Errors
    /// What the system said.
    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno>;
    /// Ends the machine, past PID 1; returns only to say why not.
    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno;
}

impl Edge for ControlClient {
    fn ask(&self, request: &Request) -> Result<(), RequestError> {
        ControlClient::ask(self, request).map(drop)
    }

    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno> {
        kill(Pid::from_raw(1), signal_for(kind).ok_or(Errno::ENOSYS)?)
    }

    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno {
        if !nix::unistd::geteuid().is_root() {
            return Errno::EPERM; // before anything is waited for
        }
        if sync {
            // In a child: sync(2) has no end where a disk is gone.
            let _ = sys::syscall::in_child(nix::unistd::sync).map(|c| c.exited_within(SYNC_MS));
        }
        let Err(errno) = reboot(kind.reboot_mode());
        errno
    }
}

/// Does it; what to say about it, if anything.
///
/// # Errors
/// Why it is not done.
pub fn act(edge: &dyn Edge, wish: Wish) -> Result<Option<String>, RequestError> {
    let system = |errno| match errno {
        Errno::EPERM => RequestError::NotRoot,
        errno => RequestError::System(errno),
    };
    match wish {
        Wish::Nothing(why) => Ok(Some(format!("nothing is done: {why}"))),
        Wish::Cancel => edge.ask(&Request::Cancel).map(|()| None),
        Wish::Force(kind, sync) => Err(system(edge.force(kind, sync))),
        Wish::Shutdown(kind, delay) => {
            match edge.ask(&Request::Shutdown(kind, delay)) {
                Ok(()) => Ok((delay > 0).then(|| later(kind, delay))),
                Err(
                    RequestError::NotListening | RequestError::NoAnswer | RequestError::System(_),
                ) if delay == 0 => edge.signal(kind).map(|()| None).map_err(system),
                Err(failure) => Err(failure),
            }
        }
    }
}

fn later(kind: ShutdownKind, delay: u32) -> String {
    let at = clock::hours_minutes(clock::second_of_day(delay));
    format!(
        "{} at {at}; `b2p cancel` or `shutdown -c` takes it back",
        kind.word()
    )
}

/// `poweroff`, `reboot`, `halt`, `shutdown`, alone or after `b2p`.
pub fn main(edge: &dyn Edge, name: &str, words: &[String]) -> i32 {
    let wish = match parse(name, words, clock::second_of_day(0)) {
        Ok(wish) => wish,
        Err(why) => {
            complain(&why);
            return 2;
        }
    };
    done(act(edge, wish), name, words)
}

/// `b2p cancel`.
pub fn cancel(edge: &dyn Edge) -> i32 {
    done(act(edge, Wish::Cancel), "cancel", &[])
}

fn done(outcome: Result<Option<String>, RequestError>, name: &str, words: &[String]) -> i32 {
    match outcome {
        Ok(said) => {
            said.iter().for_each(|line| print(&format!("{line}\n")));
            0
        }
        Err(failure) => {
            let words = words.iter().map(String::as_str);
            let command: Vec<&str> = ["b2p", name].into_iter().chain(words).collect();
            complain(&control_client::line(&failure, &command.join(" ")));
            1
        }
    }
}

#[cfg(test)]
mod tests;
