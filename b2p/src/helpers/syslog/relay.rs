// SPDX-License-Identifier: Apache-2.0
//! Messages from a socket as records of the kernel log, so that there is one timeline.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use super::message::Message;
use crate::common::log::record::{Priority, SYSLOG, printable};
use crate::common::log::tag_of_user;
use crate::common::token_bucket::TokenBucket;

/// Longest text of one record, in bytes; a text with its tag is shorter than the longest line that
/// printk keeps whole (`LOG_LINE_MAX`).
const MAX_TEXT: usize = 850;

/// Highest level that the consoles show (`CONSOLE_LEVEL` of PID 1): a program that logs then
/// may have to wait for a serial line, which takes 11 kB a second.
const CONSOLE_LEVEL: u8 = 5;

/// Time from the first dropped message to the report of all, in milliseconds.
const REPORT_DELAY: u64 = 1_000;

/// User of a sender that is not known (proc_sys_kernel(5), `overflowuid`).
const NOBODY: u32 = 65_534;

/// Reads a datagram; the second argument is the machine's own name.
pub type Protocol = for<'a> fn(&'a [u8], &[u8]) -> Message<'a>;

/// Sender of a datagram, by the kernel (`SCM_CREDENTIALS`, unix(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Process id; 0 if unknown.
    pub pid: u32,
    /// User, if known. Root may log for other processes.
    pub uid: Option<u32>,
}

/// Converts datagrams to records, at a limited rate.
#[derive(Debug)]
pub struct Relay {
    out: File,
    protocol: Protocol,
    host: Vec<u8>,
    /// Limit for all records.
    all: TokenBucket,
    /// Limit for records that the consoles show.
    on_console: TokenBucket,
    dropped: u64,
    /// Time at which `dropped` is reported.
    due: Option<u64>,
}

impl Relay {
    /// Returns a relay to `out`, which takes one record a write and does not block.
    #[must_use]
    pub fn new(out: File, protocol: Protocol, host: &[u8]) -> Relay {
        Relay {
            out,
            protocol,
            host: host.trim_ascii().to_owned(),
            all: TokenBucket::new(500, 100),
            on_console: TokenBucket::new(20, 10),
            dropped: 0,
            due: None,
        }
    }

    /// Takes a datagram. One that is to be dropped is not read: its sender waits for this process. One without
    /// bytes has its message in a descriptor, which the kernel has closed.
    pub fn take(&mut self, datagram: &[u8], sender: Sender, now: u64) {
        if datagram.is_empty() || !self.all.has_token(now) {
            return self.drop_line(now);
        }
        let message = (self.protocol)(datagram, &self.host);
        let off_console = Priority::of(message.priority.facility(), CONSOLE_LEVEL + 1);
        records(&message, sender, |priority, text| {
            let mut written = self.all.take(now);
            if written {
                let too_many = priority.level() <= CONSOLE_LEVEL && !self.on_console.take(now);
                written = self.write(if too_many { off_console } else { priority }, text);
            }
            if !written {
                self.drop_line(now);
            }
        });
    }

    fn drop_line(&mut self, now: u64) {
        self.dropped += 1;
        self.due.get_or_insert(now.saturating_add(REPORT_DELAY));
    }

    /// Writes a record; returns false if the kernel does not take the record. The record ends in a
    /// newline, without which the kernel waits for a continuation (`LOG_CONT`, printk.c).
    fn write(&mut self, priority: Priority, text: &str) -> bool {
        let record = format!("<{}>{text}\n", priority.number());
        self.out.write(record.as_bytes()).is_ok()
    }

    /// Returns when [`Relay::tick`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.due
    }

    /// Reports dropped messages if that is due.
    pub fn tick(&mut self, now: u64) {
        if self.due.is_some_and(|due| due <= now) && !self.report() {
            self.due = Some(now.saturating_add(REPORT_DELAY));
        }
    }

    /// Reports dropped messages; returns false if the kernel does not take the report.
    pub fn report(&mut self) -> bool {
        let dropped = self.dropped;
        let text = format!("syslog: {dropped} lines dropped, more than 100 a second or too long");
        let reported = dropped == 0 || self.write(Priority::of(SYSLOG, sys::kmsg::WARNING), &text);
        if reported {
            (self.dropped, self.due) = (0, None);
        }
        reported
    }
}

/// Calls `each` with the records of a message: `tag[pid]: text`, several for a long text. The
/// brackets are always there: without them a record would be one of PID 1 (`boot2podman: `) or
/// of a service, and any program may write to `/dev/log`. A container or a program of a user has the user's number before
/// its name, `1000/web[12]: text`: root and each user may have one of that name, and a user chooses the name freely.
fn records(message: &Message<'_>, sender: Sender, mut each: impl FnMut(Priority, &str)) {
    let mut text = String::new();
    printable(message.tag, |c| text.push_str(c));
    if text.is_empty() {
        text.push_str("log");
    }
    text = tag_of_user(sender.uid.unwrap_or(NOBODY), &text);
    let claimed = message.pid.filter(|_| sender.uid == Some(0));
    let _ = write!(text, "[{}]: ", claimed.unwrap_or(sender.pid));
    let head = text.len();
    printable(message.text, |c| {
        if text.len() - head + c.len() > MAX_TEXT {
            each(message.priority, &text);
            text.truncate(head);
        }
        text.push_str(c);
    });
    if text.len() > head {
        each(message.priority, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message;
    use super::*;
    use proptest::prelude::*;

    fn all(datagram: &[u8], sender: Sender) -> Vec<String> {
        let mut out = Vec::new();
        let message = message::parse(datagram, b"box");
        records(&message, sender, |p, text| {
            out.push(format!("<{}>{text}", p.number()))
        });
        out
    }

    const USER: Sender = Sender {
        pid: 9,
        uid: Some(1000),
    };

    #[test]
    fn tags_get_the_pid_from_the_kernels_credentials() {
        let root = Sender {
            pid: 9,
            uid: Some(0),
        };
        assert_eq!(all(b"<38>sshd[812]: x", USER), ["<38>1000/sshd[9]: x"]);
        assert_eq!(all(b"<38>sshd[812]: x", root), ["<38>sshd[812]: x"]);
        assert_eq!(all(b"<38>sshd: x", root), ["<38>sshd[9]: x"]);
        assert_eq!(
            all(b"<6>boot2podman: ready", Sender::default()),
            ["<6>65534/boot2podman[0]: ready"]
        );
        assert_eq!(all(b"text", USER), ["<13>1000/log[9]: text"]);
        assert_eq!(all(b"<13>x: ", USER), [""; 0]);
    }

    #[test]
    fn a_container_of_a_user_is_none_of_root() {
        let of = |uid| {
            let mut lines = Vec::new();
            let message = super::super::journal::parse(b"CONTAINER_NAME=web\nMESSAGE=m\n", b"");
            let sender = Sender { pid: 9, uid };
            records(&message, sender, |_, text| lines.push(text.to_owned()));
            lines.concat()
        };
        assert_eq!(of(Some(0)), "web[9]: m");
        assert_eq!(of(Some(1000)), "1000/web[9]: m");
        assert_eq!(of(None), "65534/web[9]: m");
    }

    #[test]
    fn unprintable_bytes_are_escaped() {
        let got = all(b"<13>a: \x1b[2J\xff\nboot2podman: ready \xc3\xa9", USER);
        assert_eq!(
            got,
            ["<13>1000/a[9]: \\x1b[2J\\xff\\x0aboot2podman: ready é"]
        );
    }

    #[test]
    fn a_flooding_sender_is_rate_limited() {
        let path = std::env::temp_dir().join(format!("b2p-relay-{}", std::process::id()));
        let file = File::create(&path).expect("a file");
        let mut relay = Relay::new(file, message::parse, b"box\n");
        for _ in 0..600 {
            relay.take(b"<8>x: fire", USER, 1_000);
        }
        assert_eq!(relay.deadline(), Some(2_000));
        relay.tick(1_999);
        relay.tick(2_000);
        assert_eq!(relay.deadline(), None);
        let text = std::fs::read_to_string(&path).expect("the file");
        let _ = std::fs::remove_file(&path);
        let count = |what: &str| text.lines().filter(|l| *l == what).count();
        let counts = (count("<8>1000/x[9]: fire"), count("<14>1000/x[9]: fire"));
        assert_eq!(counts, (20, 480));
        let said = "<44>syslog: 100 lines dropped, more than 100 a second or too long";
        assert_eq!(text.lines().last(), Some(said));
    }

    /// A message that is too long for a datagram is passed as a descriptor (JOURNAL_NATIVE_PROTOCOL).
    #[test]
    fn an_empty_message_counts_as_dropped() {
        let file = File::options().write(true).open("/dev/null");
        let mut relay = Relay::new(file.expect("/dev/null"), message::parse, b"box");
        relay.take(b"", USER, 1_000);
        assert_eq!((relay.dropped, relay.deadline()), (1, Some(2_000)));
    }

    #[test]
    fn dropped_messages_are_not_parsed() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static READ: AtomicUsize = AtomicUsize::new(0);
        let file = File::options().write(true).open("/dev/null");
        let protocol: Protocol = |datagram, host| {
            READ.fetch_add(1, Ordering::Relaxed);
            message::parse(datagram, host)
        };
        let mut relay = Relay::new(file.expect("/dev/null"), protocol, b"box");
        for _ in 0..600 {
            relay.take(b"<14>conmon: no space", USER, 1_000);
        }
        assert_eq!((READ.load(Ordering::Relaxed), relay.dropped), (500, 100));
    }

    proptest! {
        #[test]
        fn every_record_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            for record in all(&bytes, USER) {
                prop_assert!(record.len() <= 5 + 4 * 48 + 14 + MAX_TEXT);
                prop_assert!(!record.contains('\n'));
            }
        }
    }
}
