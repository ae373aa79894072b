//! From `/dev/log` to the kernel log, so that there is one timeline.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use super::message::{self, Message};
use crate::common::log::record::{Priority, SYSLOG, printable};
use crate::common::token_bucket::TokenBucket;

/// Longest text of one record; with its tag it is below what printk takes whole
/// (`LOG_LINE_MAX`).
const LONGEST: usize = 850;

/// At this level and worse the consoles show a record (`CONSOLE_LEVEL` of PID 1),
/// and whoever calls printk may have to wait for a serial line: 11 kB a second.
const LOUD: u8 = 5;

/// How often it is said that messages were dropped, in milliseconds.
const REPORT: u64 = 1_000;

/// Who sent a datagram, as the kernel says (`SCM_CREDENTIALS`, unix(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// 0: not known; then it is not root either.
    pub pid: u32,
    /// It may speak for other processes.
    pub root: bool,
}

/// Takes datagrams and writes records, as many as are good for everybody.
#[derive(Debug)]
pub struct Relay {
    out: File,
    host: Vec<u8>,
    rate: TokenBucket,
    loud: TokenBucket,
    dropped: u64,
    /// When that is to be said.
    due: Option<u64>,
}

impl Relay {
    /// Writes to `out`, which takes a record a write and does not block.
    #[must_use]
    pub fn new(out: File, host: &[u8]) -> Relay {
        Relay {
            out,
            host: host.trim_ascii().to_owned(),
            rate: TokenBucket::new(500, 100),
            loud: TokenBucket::new(20, 10),
            dropped: 0,
            due: None,
        }
    }

    /// A datagram from `/dev/log`.
    pub fn take(&mut self, datagram: &[u8], sender: Sender, now: u64) {
        let message = message::parse(datagram, &self.host);
        let quieter = Priority::of(message.priority.facility(), LOUD + 1);
        pieces(&message, sender, |priority, text| {
            let mut lost = !self.rate.take(now);
            if !lost {
                let loud = priority.level() <= LOUD && !self.loud.take(now);
                lost = !self.write(if loud { quieter } else { priority }, text);
            }
            if lost {
                self.dropped += 1;
                self.due.get_or_insert(now.saturating_add(REPORT));
            }
        });
    }

    /// Says something of our own; whether it could be said.
    pub fn say(&mut self, level: u8, text: &str) -> bool {
        self.write(Priority::of(SYSLOG, level), &format!("syslog: {text}"))
    }

    /// One write is one record. It ends in a newline, or the kernel holds it back
    /// for a continuation (`LOG_CONT`, printk.c).
    fn write(&mut self, priority: Priority, text: &str) -> bool {
        let record = format!("<{}>{text}\n", priority.number());
        self.out.write(record.as_bytes()).is_ok()
    }

    /// When [`Relay::tick`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.due
    }

    /// Says what has been dropped, when that is due.
    pub fn tick(&mut self, now: u64) {
        if self.due.is_some_and(|due| due <= now) && !self.report() {
            self.due = Some(now.saturating_add(REPORT));
        }
    }

    /// Says what has been dropped; whether that could be said.
    pub fn report(&mut self) -> bool {
        let text = format!("{} lines dropped, more than 100 a second", self.dropped);
        let said = self.dropped == 0 || self.say(4, &text);
        if said {
            (self.dropped, self.due) = (0, None);
        }
        said
    }
}

/// The records of a message: `tag[pid]: text`, a long one in several. There are
/// always brackets: without them it would be the voice of PID 1 (`boot2podman: `)
/// or of one of its services, and anybody may write to `/dev/log`.
fn pieces(message: &Message<'_>, sender: Sender, mut each: impl FnMut(Priority, &str)) {
    let mut text = String::new();
    printable(message.tag, |c| text.push_str(c));
    if text.is_empty() {
        text.push_str("log");
    }
    let claimed = message.pid.filter(|_| sender.root);
    let _ = write!(text, "[{}]: ", claimed.unwrap_or(sender.pid));
    let head = text.len();
    printable(message.text, |c| {
        if text.len() - head + c.len() > LONGEST {
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
    use super::*;
    use proptest::prelude::*;

    fn all(datagram: &[u8], sender: Sender) -> Vec<String> {
        let mut out = Vec::new();
        let message = message::parse(datagram, b"box");
        pieces(&message, sender, |p, text| {
            out.push(format!("<{}>{text}", p.number()))
        });
        out
    }

    const USER: Sender = Sender {
        pid: 9,
        root: false,
    };

    #[test]
    fn who_speaks_is_who_the_kernel_says() {
        let root = Sender { pid: 9, root: true };
        assert_eq!(all(b"<38>sshd[812]: x", USER), ["<38>sshd[9]: x"]);
        assert_eq!(all(b"<38>sshd[812]: x", root), ["<38>sshd[812]: x"]);
        assert_eq!(all(b"<38>sshd: x", root), ["<38>sshd[9]: x"]);
        assert_eq!(
            all(b"<6>boot2podman: ready", Sender::default()),
            ["<6>boot2podman[0]: ready"]
        );
        assert_eq!(all(b"text", USER), ["<13>log[9]: text"]);
        assert_eq!(all(b"<13>x: ", USER), [""; 0]);
    }

    #[test]
    fn what_is_not_printable_is_shown() {
        let got = all(b"<13>a: \x1b[2J\xff\nboot2podman: ready \xc3\xa9", USER);
        assert_eq!(got, ["<13>a[9]: \\x1b[2J\\xff\\x0aboot2podman: ready é"]);
    }

    #[test]
    fn what_is_loud_grows_quieter() {
        let path = std::env::temp_dir().join(format!("b2p-relay-{}", std::process::id()));
        let mut relay = Relay::new(File::create(&path).expect("a file"), b"box\n");
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
        assert_eq!((count("<8>x[9]: fire"), count("<14>x[9]: fire")), (20, 480));
        let said = "<44>syslog: 100 lines dropped, more than 100 a second";
        assert_eq!(text.lines().last(), Some(said));
    }

    proptest! {
        #[test]
        fn every_record_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            for record in all(&bytes, USER) {
                prop_assert!(record.len() <= 5 + 4 * 48 + 14 + LONGEST);
                prop_assert!(!record.contains('\n'));
            }
        }
    }
}
