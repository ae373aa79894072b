//! The log. There is one timeline, the kernel's: PID 1 writes to it, each line
//! of a service's output is a record of it, and `b2p syslog` puts into it what
//! programs send to `/dev/log`, and keeps it in files where there is a disk.
//! `b2p log` shows it (docs/reference/log.md).

mod clock;
mod files;
mod filter;
mod history;
mod journal;
mod keep;
pub mod message;
mod options;
mod rate;
pub mod record;
mod relay;
mod ring;
mod show;

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use files::Folder;
use filter::Style;
use journal::{Boot, Journal};
use keep::Keep;
use options::{LOG_USAGE, SYSLOG_USAGE, Show, Syslog};
use relay::Relay;
use ring::Ring;
use show::Here;

/// `b2p log …`: the status to exit with.
#[must_use]
pub fn main(words: &[String]) -> i32 {
    match Show::parse(words) {
        Ok(show) => told("b2p log", log(&show)),
        Err(why) => usage("b2p log", &why, LOG_USAGE),
    }
}

/// `b2p syslog …`, the service: the status to exit with.
#[must_use]
pub fn syslog(words: &[String]) -> i32 {
    match Syslog::parse(words) {
        Ok(options) => told("b2p syslog", service(&options)),
        Err(why) => usage("b2p syslog", &why, SYSLOG_USAGE),
    }
}

fn usage(name: &str, why: &str, usage: &str) -> i32 {
    if why.is_empty() {
        print!("{usage}");
        return 0;
    }
    eprintln!("{name}: {why}; see `{name} --help`");
    2
}

fn told(name: &str, outcome: Result<i32, String>) -> i32 {
    outcome.unwrap_or_else(|why| {
        eprintln!("{name}: {why}");
        1
    })
}

fn log(show: &Show) -> Result<i32, String> {
    let mut ring = Ring::open().map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => "only root may: sudo b2p log".to_owned(),
        _ => format!("{}: {e}", ring::PATH),
    })?;
    let out = io::stdout().as_fd().try_clone_to_owned();
    let mut out = File::from(out.map_err(|e| e.to_string())?);
    let style = Style {
        dated: show.all,
        utc: show.utc,
        colours: out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let here = Here {
        boot: boot().id,
        offset: clock::offset(),
        until: clock::kernel(),
    };
    let shown = show::run(show, style, &here, &mut ring, &mut out);
    shown.map(|()| 0).map_err(|e| e.to_string())
}

fn service(options: &Syslog) -> Result<i32, String> {
    // Before anything else: what comes from now on finds everything in order.
    let stop = stop().map_err(|e| format!("signalfd: {e}"))?;
    let mut to = OpenOptions::new();
    let to = to.write(true).custom_flags(libc::O_NONBLOCK);
    let out = to
        .open(ring::PATH)
        .map_err(|e| format!("{}: {e}", ring::PATH))?;
    let host = fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut relay = Relay::new(out, &host);
    let socket = socket()?;
    let kept = kept(options).unwrap_or_else(|why| {
        relay.say(4, &format!("no log is kept: {why}"));
        None
    });
    if socket.is_none() && kept.is_none() {
        return Err("there is no /dev/log as descriptor 3 (LISTEN_FDS) and nothing to keep".into());
    }
    let mut keep = Keep {
        stop: stop.as_fd(),
        socket,
        relay,
        kept,
    };
    Ok(keep.run())
}

/// Readable when it is time to end.
fn stop() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Descriptor 3, where it has been given to us (sd_listen_fds(3)). Once.
pub fn handed_socket() -> Option<OwnedFd> {
    let own = std::process::id().to_string();
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    (is("LISTEN_PID", &own) && is("LISTEN_FDS", "1")).then(handed::third)
}

fn socket() -> Result<Option<OwnedFd>, String> {
    let Some(fd) = handed_socket() else {
        return Ok(None);
    };
    match nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::SockType) {
        Ok(nix::sys::socket::SockType::Datagram) => Ok(Some(fd)),
        _ => Err("descriptor 3 is no datagram socket".into()),
    }
}

/// What was handed over by number.
mod handed {
    #![expect(unsafe_code, reason = "a descriptor known by its number only")]
    use std::os::fd::{FromRawFd, OwnedFd};

    /// LISTEN_FDS says that it is ours.
    pub fn third() -> OwnedFd {
        // SAFETY: nothing has been opened as 3 by us: it was open when we were
        // started, as LISTEN_FDS says, and nobody else owns it. It is taken once.
        unsafe { OwnedFd::from_raw_fd(3) }
    }
}

/// The files, and the reader for them.
fn kept(options: &Syslog) -> Result<Option<(Ring, Journal<Folder>)>, String> {
    let Some(dir) = &options.keep else {
        return Ok(None);
    };
    let ring = Ring::open().map_err(|e| format!("{}: {e}", ring::PATH))?;
    let opened = Folder::open(dir, options.bounds);
    let (folder, size) = opened.map_err(|e| format!("{}: {e}", dir.display()))?;
    let end = history::end(&files::oldest_first(dir));
    let journal = Journal::new(folder, size, options.bounds, boot(), &end);
    Ok(Some((ring, journal)))
}

fn boot() -> Boot {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.unwrap_or_default().trim_ascii().to_owned()
    };
    Boot {
        id: read("random/boot_id"),
        release: read("osrelease"),
    }
}
