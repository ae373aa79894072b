//! What `b2p` can be asked, for those who ask what that is.

use crate::common::terminal::{complain, print};

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its word.
    pub name: &'static str,
    /// What may follow it.
    pub takes: &'static str,
    /// What it does, in a line.
    pub why: &'static str,
    /// What else is to be known.
    pub more: &'static str,
}

const END: &str = "-f ends it at once, past PID 1 (reboot(2) after a sync; -n: without), -p is \
power off, --halt, --poweroff and --reboot say how; -d SECONDS is a delay as with busybox. What \
is asked for later, PID 1 keeps: `b2p cancel` takes it back. Where PID 1 does not answer within \
two seconds, it gets the signal instead.";

/// All of them, in the order in which one meets them.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "status",   takes: "[--json] [NAME...]", why: "the machine and its services, or some of them",
        more: "With a NAME the exit status is 0 if the service does what it is there for, else 1." },
    Command { name: "boot",     takes: "[--json]", why: "where the time of the boot went, as a picture",
        more: "A bar for each phase of PID 1 and each service, dots where a service waited for another. The scale begins where PID 1 does; the line is where the machine was ready." },
    Command { name: "start",    takes: "NAME...", why: "starts services and waits until they are up",
        more: "A service of your own, a file in /var/lib/boot2podman/services, is loaded first. The exit status is 1 if one of them is not up." },
    Command { name: "stop",     takes: "NAME...", why: "stops services and waits until they have ended", more: "" },
    Command { name: "restart",  takes: "NAME...", why: "stops and starts services", more: "A file of your own that has changed is taken." },
    Command { name: "load",     takes: "NAME...", why: "takes services of your own from /var/lib/boot2podman/services", more: "They are not started." },
    Command { name: "reload",   takes: "", why: "loads all of them that do not run", more: "" },
    Command { name: "log",      takes: "[-f] [-n N] [-p LEVEL] [-a] [NAME...]", why: "the log of this boot, or of some services", more: "-f goes on as it grows, -a shows earlier boots too, where a disk keeps them." },
    Command { name: "flags",    takes: "[--json]", why: "the settings, and where each came from", more: "" },
    Command { name: "key",      takes: "add KEY | list", why: "lets a key log in from now on, or shows which may",
        more: "KEY is a line as in a .pub file. It is kept in /var/lib/boot2podman/authorized_keys; to take it away, take it out there, and out of /run/boot2podman/authorized_keys, where it stands from the next boot on." },
    Command { name: "ext",      takes: "[list|add NAME|FILE...]", why: "extensions, images with more programs, or adds some to the root",
        more: "A NAME is looked for in /var/lib/boot2podman/ext, then on a disc or stick of an ISO. A FILE, with a / in it, is NAME.erofs, and NAME.manifest is beside it. What was added is gone with the next boot; b2p.ext= adds it again." },
    Command { name: "upgrade",  takes: "FILE|--back|--keep", why: "puts a new version beside the one that runs",
        more: "On a disk of `make disk`. FILE is an ISO or a raw disk of boot2podman, or a directory with vmlinuz, initrd.img and SHA256SUMS. It is verified first, and tried at the next boot: if it does not become ready, the version before comes back. --back goes back to that by hand, --keep is content with what runs." },
    Command { name: "poweroff", takes: "[-f] [now|+MINUTES|hh:mm]", why: "ends the machine and switches it off", more: END },
    Command { name: "reboot",   takes: "[-f] [now|+MINUTES|hh:mm]", why: "ends the machine and starts it again", more: END },
    Command { name: "halt",     takes: "[-f] [now|+MINUTES|hh:mm]", why: "ends the machine and leaves the power on", more: END },
    Command { name: "shutdown", takes: "[-h|-P|-r|-H|-c] [now|+MINUTES|hh:mm]", why: "the same as other systems call it",
        more: "-h and -P switch off, -r starts again, -H halts, -c takes it back. Without a time it is in a minute." },
    Command { name: "cancel",   takes: "", why: "takes back an end that is still to come", more: "" },
    Command { name: "rescue",   takes: "", why: "leaves the services for a shell on the console", more: "" },
    Command { name: "version",  takes: "[--verbose]", why: "which b2p this is, and what the machine is made of",
        more: "With --verbose the kernel, every Debian package and every Rust crate of which something is in the machine, with version and licence." },
    Command { name: "help",     takes: "[COMMAND]", why: "this, or more about a command", more: "" },
];

/// What PID 1 runs and people need not.
pub const HELPERS: &[&str] = &[
    "net",
    "data",
    "cloud",
    "hostkey",
    "store",
    "swap",
    "time",
    "zone",
    "trial",
    "console",
    "own",
    "registries",
    "hook",
    "share",
    "vsock",
    "containers-start",
    "containers-stop",
    "health",
    "health-hook",
    "podman",
    "syslog",
    "log-files",
];

/// Other names of the program.
pub const NAMES: &[&str] = &[
    "poweroff",
    "reboot",
    "halt",
    "shutdown",
    "systemctl",
    "podman",
];

/// `b2p help [COMMAND]`.
pub fn help(name: &str) -> i32 {
    match COMMANDS.iter().find(|c| c.name == name) {
        Some(command) => print(&one(command)),
        None if name.is_empty() => print(&all()),
        None => return unknown(name),
    }
    0
}

fn all() -> String {
    let line = |c: &Command| format!("  {:<10} {}\n", c.name, c.why);
    let lines: String = COMMANDS.iter().map(line).collect();
    format!("usage: b2p COMMAND\n\n{lines}\nAs root; `b2p help COMMAND` says more.\n")
}

fn one(command: &Command) -> String {
    let usage = format!("usage: b2p {} {}", command.name, command.takes);
    let more = match command.more {
        "" => String::new(),
        more => format!("\n{}", wrapped(more)),
    };
    format!("{}\n{}.\n{more}", usage.trim_end(), capital(command.why))
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// Lines of 76 columns at the most.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        if column + word.len() > 76 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
        }
        out.push_str(word);
        column += word.len() + 1;
    }
    out.push('\n');
    out
}

/// Whether all options in `words` are known ones; what is not is named.
pub fn options_known(name: &str, words: &[String]) -> bool {
    let mut options = words.iter().filter(|w| w.starts_with('-'));
    let wrong = options.find(|w| *w != "--json");
    wrong
        .iter()
        .for_each(|w| complain(&format!("b2p {name}: {w}: no such option")));
    wrong.is_none()
}

/// Says that there is no such command, and which one it may have been.
pub fn unknown(name: &str) -> i32 {
    let near = config::nearest(name, &mut COMMANDS.iter().map(|c| c.name));
    let near = near.map_or("see `b2p help`".to_owned(), |n| {
        format!("did you mean {n}?")
    });
    complain(&format!("b2p: {name}: no such command; {near}"));
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_terminal_and_ends_in_no_space() {
        let texts = COMMANDS.iter().map(one).chain([all()]);
        for text in texts {
            assert!(
                text.lines().all(|l| l.len() < 80 && l.trim_end() == l),
                "{text}"
            );
            assert!(text.ends_with('\n'));
        }
        assert_eq!(help("poweroff"), 0);
        assert_eq!(help("powerof"), 2);
    }

    #[test]
    fn every_command_is_documented() {
        let doc = include_str!("../../../docs/reference/control.md");
        for c in COMMANDS {
            let usage = format!("{} {}", c.name, c.takes).replace('|', "\\|");
            assert!(doc.contains(&format!("`{}`", usage.trim_end())), "{usage}");
        }
    }
}
