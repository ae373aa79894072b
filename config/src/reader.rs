//! From bytes to a [`Config`]: finds the row of each flag, applies it, and
//! keeps book of what was wrong.

use crate::cmdline::{self, Token};
use crate::complaint::{Complaint, MAX_COMPLAINTS, Problem, Source, shown};
use crate::draft::Draft;
use crate::flags::{FLAGS, Flag};
use crate::nearest::nearest;
use crate::settings::Config;
use crate::sshkey;

/// One fw_cfg entry, as under `/sys/firmware/qemu_fw_cfg/by_name/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FwCfg<'a> {
    /// What follows `opt/org.boot2podman/`: a flag without its `b2p.`.
    pub name: &'a [u8],
    /// What follows the `=`; newlines and NULs at its end do not count. A flag
    /// that repeats takes one value a line, with `#` comments and blank lines.
    pub value: &'a [u8],
}

/// The configuration that the flags give, and what was wrong with them, in
/// order, at most [`MAX_COMPLAINTS`] and one. Any input has an answer.
#[must_use]
pub fn parse(cmdline: &[u8], fw_cfg: &[FwCfg<'_>]) -> (Config, Vec<Complaint>) {
    Reader::reading(cmdline, fw_cfg, false).finish()
}

/// A flag as it was given.
struct Given<'a> {
    flag: &'static Flag,
    source: Source,
    name: &'a [u8],
    value: Option<&'a [u8]>,
    /// From 1 where the value has many lines, otherwise 0.
    line: usize,
}

/// A setting that was made.
pub(crate) struct Made {
    pub sets: &'static str,
    pub source: Source,
    /// The flag that made it, as written.
    pub shown: String,
}

#[derive(Default)]
pub(crate) struct Reader {
    pub draft: Draft,
    pub made: Vec<Made>,
    complaints: Vec<Complaint>,
    dropped: usize,
    /// Of a flag that repeats, every time is kept in `made`.
    every: bool,
}

impl Reader {
    /// A reader that has read it all; fw_cfg first, so that the command line wins.
    pub(crate) fn reading(cmdline: &[u8], fw_cfg: &[FwCfg<'_>], every: bool) -> Reader {
        let mut reader = Reader {
            every,
            ..Reader::default()
        };
        for entry in fw_cfg {
            reader.entry(entry);
        }
        for token in cmdline::tokens(cmdline) {
            reader.token(&token);
        }
        reader
    }

    fn entry(&mut self, entry: &FwCfg<'_>) {
        let source = Source::FwCfg;
        let name = entry.name.strip_prefix(b"b2p.").unwrap_or(entry.name);
        let Some(flag) = FLAGS.iter().find(|flag| same_name(name, flag.short())) else {
            self.unknown(source, entry.name);
            return;
        };
        let value = trim(entry.value);
        if flag.repeats && !value.is_empty() {
            self.lines(flag, name, entry.value);
            return;
        }
        // An empty file is how a flag without a value looks here.
        let value = Some(value).filter(|value| !(flag.bare && value.is_empty()));
        self.take(&Given {
            flag,
            source,
            name,
            value,
            line: 0,
        });
    }

    /// Every line of a file as a value of its own. Of a PEM block only the
    /// first line is looked at: the rest is no flag, and could be a secret.
    fn lines(&mut self, flag: &'static Flag, name: &[u8], file: &[u8]) {
        let source = Source::FwCfg;
        let mut in_pem = false;
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let value = trim(line);
            if !in_pem && !value.is_empty() && !value.starts_with(b"#") {
                self.take(&Given {
                    flag,
                    source,
                    name,
                    value: Some(value),
                    line: at + 1,
                });
            }
            if value.starts_with(sshkey::ARMOUR.as_bytes()) {
                in_pem = !in_pem;
            }
        }
    }

    fn token(&mut self, token: &Token<'_>) {
        let Token { name, value, open } = *token;
        let source = Source::CommandLine;
        if open {
            self.open(token);
        }
        if let Some(flag) = FLAGS.iter().find(|flag| same_name(name, flag.name)) {
            self.take(&Given {
                flag,
                source,
                name,
                value,
                line: 0,
            });
        } else if name.starts_with(b"b2p.") {
            self.unknown(source, name);
        }
    }

    /// An open quote is the kernel's own matter, unless one of our flags has it
    /// or was swallowed by it.
    fn open(&mut self, token: &Token<'_>) {
        let ours = |text: &[u8]| text.windows(4).any(|four| four == b"b2p.");
        let known = FLAGS.iter().any(|flag| same_name(token.name, flag.name));
        if known || ours(token.name) || token.value.is_some_and(ours) {
            let flag = shown(token.name);
            self.complain(Source::CommandLine, flag, "", 0, Problem::Open);
        }
    }

    fn unknown(&mut self, source: Source, name: &[u8]) {
        let short = name.strip_prefix(b"b2p.").unwrap_or(name);
        let word = str::from_utf8(short).unwrap_or_default().replace('-', "_");
        let short = nearest(&word, &mut FLAGS.iter().map(Flag::short));
        let flag = FLAGS.iter().find(|flag| Some(flag.short()) == short);
        let nearest = match source {
            Source::FwCfg => short,
            Source::CommandLine => flag.map(|flag| flag.name),
        };
        self.complain(
            source,
            in_full(source, name),
            "",
            0,
            Problem::Unknown { nearest },
        );
    }

    fn take(&mut self, given: &Given<'_>) {
        let flag = given.flag;
        let rival = self.rival(given);
        let before = (self.every || rival.is_some()).then(|| self.draft.clone());
        let applied = given
            .text()
            .and_then(|text| (flag.apply)(&mut self.draft, text));
        let changed = before.is_some_and(|before| before != self.draft);
        if let Err(problem) = applied {
            self.complain(
                given.source,
                given.shown(),
                flag.values,
                given.line,
                problem,
            );
            // Of a list, or of an `ip=`, the rest may have been good.
            if !changed {
                return;
            }
        }
        // Saying the same twice changes nothing and is no mistake.
        if let Some(lost) = rival
            && changed
        {
            self.complain(given.source, given.shown(), "", 0, Problem::Twice { lost });
        }
        let (sets, source, shown) = (flag.sets(), given.source, given.shown());
        if !(self.every && flag.repeats) {
            self.made.retain(|made| made.sets != sets);
        }
        self.made.push(Made {
            sets,
            source,
            shown,
        });
    }

    /// The flag that made the same setting before, in the same source.
    fn rival(&self, given: &Given<'_>) -> Option<String> {
        let flag = given.flag;
        let mut made = self.made.iter().filter(|_| !flag.repeats);
        let rival = made.find(|made| made.sets == flag.sets() && made.source == given.source)?;
        Some(rival.shown.clone())
    }

    fn complain(
        &mut self,
        source: Source,
        flag: String,
        allowed: &'static str,
        line: usize,
        problem: Problem,
    ) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(Complaint {
                source,
                flag,
                allowed,
                line,
                problem,
            });
        } else {
            self.dropped += 1;
        }
    }

    fn finish(mut self) -> (Config, Vec<Complaint>) {
        if self.dropped > 0 {
            let (source, problem) = (Source::CommandLine, Problem::More(self.dropped));
            let flag = String::new();
            self.complaints.push(Complaint {
                source,
                flag,
                allowed: "",
                line: 0,
                problem,
            });
        }
        (self.draft.finish(), self.complaints)
    }
}

impl Given<'_> {
    /// The value as text; `on` where a flag can do without.
    fn text(&self) -> Result<&str, Problem> {
        let value = match self.value {
            None if self.flag.bare => b"on",
            None | Some(b"") => return Err(Problem::Missing),
            Some(value) => value,
        };
        str::from_utf8(value).map_err(|_| Problem::bad("not UTF-8"))
    }

    fn shown(&self) -> String {
        let mut flag = in_full(self.source, self.name);
        let text = self.value.and_then(|value| str::from_utf8(value).ok());
        match (self.value, self.flag.hidden) {
            (Some(value), false) => {
                flag.push('=');
                flag.push_str(&shown(value));
            }
            (Some(_), true) => {
                if let Some(kind) = text.and_then(sshkey::harmless) {
                    flag.push_str("=\"");
                    flag.push_str(kind);
                    flag.push_str(" ...\"");
                }
            }
            (None, _) => {}
        }
        flag
    }
}

/// A flag's name as it stood in its source.
fn in_full(source: Source, name: &[u8]) -> String {
    let name = shown(name);
    match source {
        Source::FwCfg => ["opt/org.boot2podman/", &name].concat(),
        Source::CommandLine => name,
    }
}

/// The kernel takes `-` and `_` in names for the same (kernel/params.c,
/// `parameq()`), and so do we.
fn same_name(given: &[u8], name: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    given.len() == name.len() && given.iter().zip(name.bytes()).all(|(a, b)| plain(*a) == b)
}

/// Without white space and NULs at the ends.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = text
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}
