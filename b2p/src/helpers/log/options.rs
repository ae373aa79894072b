//! The words after `b2p log` and `b2p syslog`.

use std::path::PathBuf;

use super::files::Bounds;
use super::record::LEVELS;

/// Where the log on disk is looked for.
pub const DIR: &str = "/var/lib/boot2podman/log";

/// `b2p log --help`.
pub const LOG_USAGE: &str = "\
usage: b2p log [-f] [-n LINES] [-p LEVEL] [-a] [NAME…]

Shows what the kernel, PID 1 and the services have said since this boot.
NAME is a service or a program, `init` for PID 1 itself, `kernel`.

  -f, --follow      goes on with what is said from now on
  -n, --lines N     the last N lines only
  -p, --priority L  this level and worse: emerg alert crit err warn notice info debug
  -b, --boot        this boot only, which is so anyway
  -a, --all         earlier boots too, from the log on disk
      --dir DIR     where that is (/var/lib/boot2podman/log)
      --utc         times in UTC
";

/// `b2p syslog --help`.
pub const SYSLOG_USAGE: &str = "\
usage: b2p syslog [--keep DIR] [--size BYTES[K|M]] [--files N]

A service: passes on what programs send to /dev/log (a datagram socket, as
descriptor 3) to the kernel log, and keeps that in files in DIR. Either may be
without the other.
";

/// What `b2p log` is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    /// Go on.
    pub follow: bool,
    /// The last lines only.
    pub last: Option<usize>,
    /// Of this level and worse.
    pub worst: u8,
    /// Earlier boots too.
    pub all: bool,
    /// Not the local time.
    pub utc: bool,
    /// The files.
    pub dir: PathBuf,
    /// Who; empty for everybody.
    pub names: Vec<String>,
}

/// What `b2p syslog` is to do besides relaying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where to keep the log.
    pub keep: Option<PathBuf>,
    /// How much of it.
    pub bounds: Bounds,
}

/// What is wrong with the words; empty when help was asked for.
type Complaint = String;

/// Options and their values, one after the other: `-n5`, `-n 5`, `--lines=5`, `-fa`.
struct Words<'a> {
    rest: std::slice::Iter<'a, String>,
    /// What is left of a word of short options, or of `--name=value`.
    left: Option<&'a str>,
    /// All that comes is names.
    plain: bool,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Short(char),
    Long(&'a str),
    Name(&'a str),
}

impl<'a> Words<'a> {
    fn new(words: &'a [String]) -> Words<'a> {
        Words {
            rest: words.iter(),
            left: None,
            plain: false,
        }
    }

    fn next(&mut self) -> Result<Option<Word<'a>>, Complaint> {
        if let Some(left) = self.left.take() {
            if let Some(value) = left.strip_prefix('=') {
                return Err(format!("`{value}` belongs to no option"));
            }
            return Ok(Some(self.short(left)));
        }
        let Some(word) = self.rest.next() else {
            return Ok(None);
        };
        if self.plain || !word.starts_with('-') || word == "-" {
            return Ok(Some(Word::Name(word)));
        }
        if word == "--" {
            self.plain = true;
            return self.next();
        }
        match word.strip_prefix("--") {
            Some(long) => {
                let end = long.find('=').unwrap_or(long.len());
                let (name, value) = long.split_at(end);
                self.left = (!value.is_empty()).then_some(value);
                Ok(Some(Word::Long(name)))
            }
            None => Ok(Some(self.short(word.get(1..).unwrap_or("")))),
        }
    }

    fn short(&mut self, word: &'a str) -> Word<'a> {
        let mut chars = word.chars();
        let first = chars.next().unwrap_or('-');
        self.left = Some(chars.as_str()).filter(|l| !l.is_empty());
        Word::Short(first)
    }

    fn value(&mut self, option: &str) -> Result<&'a str, Complaint> {
        let left = self.left.take().map(|l| l.strip_prefix('=').unwrap_or(l));
        left.or_else(|| self.rest.next().map(String::as_str))
            .ok_or_else(|| format!("{option} needs a value"))
    }
}

impl Show {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong; empty when help was asked for.
    pub fn parse(words: &[String]) -> Result<Show, Complaint> {
        let mut show = Show {
            follow: false,
            last: None,
            worst: 7,
            all: false,
            utc: false,
            dir: PathBuf::from(DIR),
            names: Vec::new(),
        };
        let mut words = Words::new(words);
        while let Some(word) = words.next()? {
            match word {
                Word::Short('f') | Word::Long("follow") => show.follow = true,
                Word::Short('b') | Word::Long("boot") => show.all = false,
                Word::Short('a') | Word::Long("all") => show.all = true,
                Word::Long("utc") => show.utc = true,
                Word::Short('n') | Word::Long("lines") => {
                    show.last = Some(lines(words.value("-n")?)?);
                }
                Word::Short('p') | Word::Long("priority") => {
                    show.worst = level(words.value("-p")?)?;
                }
                Word::Long("dir") => show.dir = PathBuf::from(words.value("--dir")?),
                Word::Name(name) => show.names.push(name.to_owned()),
                other => return Err(unknown(&other)),
            }
        }
        Ok(show)
    }
}

impl Syslog {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong; empty when help was asked for.
    pub fn parse(words: &[String]) -> Result<Syslog, Complaint> {
        let (mut keep, mut bounds) = (None, Bounds::DEFAULT);
        let mut words = Words::new(words);
        while let Some(word) = words.next()? {
            match word {
                Word::Long("keep") => keep = Some(PathBuf::from(words.value("--keep")?)),
                Word::Long("size") => bounds.size = bytes(words.value("--size")?)?,
                Word::Long("files") => {
                    let number = words.value("--files")?;
                    let wrong = |_| format!("--files: `{number}` is no number");
                    bounds.files = number.parse().map_err(wrong)?;
                }
                other => return Err(unknown(&other)),
            }
        }
        let bounds = Bounds::new(bounds.size, bounds.files)?;
        Ok(Syslog { keep, bounds })
    }
}

fn unknown(word: &Word<'_>) -> Complaint {
    match word {
        Word::Short('h') | Word::Long("help") => String::new(),
        Word::Short(c) => format!("there is no -{c}"),
        Word::Long(name) => format!("there is no --{name}"),
        Word::Name(name) => format!("what is `{name}`?"),
    }
}

fn lines(text: &str) -> Result<usize, Complaint> {
    text.parse()
        .map_err(|_| format!("-n: `{text}` is no number of lines"))
}

fn level(text: &str) -> Result<u8, Complaint> {
    let text = match text {
        "panic" => "emerg",
        "error" => "err",
        "warning" => "warn",
        other => other,
    };
    let named = LEVELS.iter().position(|l| *l == text);
    let number = || text.parse::<usize>().ok().filter(|n| *n < LEVELS.len());
    let level = named.or_else(number);
    level
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| format!("-p: `{text}` is none of {}", LEVELS.join(" ")))
}

fn bytes(text: &str) -> Result<u64, Complaint> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| format!("--size: `{text}` is none; right are 512K, 4M"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn show(line: &str) -> Result<Show, String> {
        Show::parse(&words(line))
    }

    #[test]
    fn every_way_to_write_them() {
        let plain = show("").expect("nothing is fine");
        assert_eq!(
            (plain.follow, plain.last, plain.worst, plain.all),
            (false, None, 7, false)
        );
        let want = Show {
            follow: true,
            last: Some(20),
            worst: 4,
            all: true,
            names: vec!["sshd".into(), "-x".into()],
            ..plain
        };
        for line in [
            "-f -a -n 20 -p warn sshd -- -x",
            "-fan20 -p4 sshd -- -x",
            "--follow --all --lines=20 --priority=warning sshd -- -x",
            "sshd -abfn=20 -ap warn -- -x",
        ] {
            assert_eq!(show(line).as_ref(), Ok(&want), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            ("-x", "-x"),
            ("--lines", "needs a value"),
            ("-n x", "`x`"),
            ("-p loud", "emerg"),
            ("-p 8", "`8`"),
            ("--follow=1", "`1`"),
        ] {
            let why = show(line).expect_err(line);
            assert!(why.contains(part), "{line}: {why}");
        }
        assert_eq!(show("-h"), Err(String::new()));
        assert_eq!(Syslog::parse(&words("--help")), Err(String::new()));
    }

    #[test]
    fn bounds() {
        let parse = |line: &str| Syslog::parse(&words(line)).map(|s| (s.keep, s.bounds));
        let default = (Some(PathBuf::from("/x")), Bounds::DEFAULT);
        assert_eq!(parse("--keep /x"), Ok(default));
        let got = parse("--size=64k --files 1").map(|(_, b)| (b.size, b.files));
        assert_eq!(got, Ok((65_536, 1)));
        for line in [
            "--size 63K",
            "--size 2000M",
            "--size x",
            "--files 0",
            "--files 101",
            "--size 99999999999999M",
            "what",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_words(words in prop::collection::vec("(-{0,2}[a-zé=]{0,4}|\\PC{0,6})", 0..6)) {
            let _ = Show::parse(&words);
            let _ = Syslog::parse(&words);
        }
    }
}
