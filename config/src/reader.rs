//! From bytes to a [`Config`]: finds the row of each flag, applies it, and
//! keeps book of what was wrong.

use crate::builder::Builder;
use crate::cmdline::{self, Token};
use crate::diagnostic::{Diagnostic, MAX_DIAGNOSTICS, Problem, Source, shown};
use crate::flags::{FLAGS, Flag};
use crate::settings::Config;
use crate::sources::Sources;
use crate::suggest::suggest;
use crate::{smbios, sshkey, values};

/// The file of the data disk with the machine's name.
pub(crate) const HOSTNAME_FILE: &str = "hostname";
/// What an OEM string begins with that is ours.
const OEM_PREFIX: &[u8] = b"boot2podman:";

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
pub(crate) struct Assignment {
    pub sets: &'static str,
    pub source: Source,
    /// The flag that made it, as written.
    pub shown: String,
}

#[derive(Default)]
pub(crate) struct Reader {
    pub builder: Builder,
    pub made: Vec<Assignment>,
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
    /// Of a flag that repeats, every time is kept in `made`.
    every: bool,
}

impl Reader {
    /// A reader that has read it all, the command line last, so that it wins.
    pub(crate) fn reading(sources: &Sources<'_>, every: bool) -> Reader {
        let mut reader = Reader {
            every,
            ..Reader::default()
        };
        reader.apply_disk_extras(sources);
        reader.apply_hostname(sources.hostname);
        reader.file(sources.disk);
        for text in smbios::oem_strings(sources.smbios) {
            if let Some(text) = text.strip_prefix(OEM_PREFIX) {
                let (name, value) = pair(text);
                reader.entry(Source::Smbios, name, value.unwrap_or_default());
            }
        }
        for entry in sources.fw_cfg {
            reader.entry(Source::FwCfg, entry.name, entry.value);
        }
        for token in cmdline::tokens(sources.cmdline) {
            reader.token(&token);
        }
        reader
    }

    /// What our own helper has found on the disk: nothing to complain of.
    fn apply_disk_extras(&mut self, sources: &Sources<'_>) {
        let config = &mut self.builder.config;
        let lines = |bytes| String::from_utf8_lossy(bytes).into_owned();
        for (name, value) in lines(sources.environment)
            .lines()
            .filter_map(values::variable)
        {
            config.environment.retain(|(known, _)| *known != name);
            config.environment.push((name, value));
        }
        for name in lines(sources.hooks)
            .lines()
            .filter(|name| values::service(name))
        {
            config.services.retain(|(known, _)| known != name);
            config.services.push((name.to_owned(), true));
        }
    }

    /// The first line of the file counts, as in hostname(5).
    fn apply_hostname(&mut self, file: &[u8]) {
        let line = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let name = str::from_utf8(trim(line)).map_err(|_| Problem::bad("not UTF-8"));
        match name.and_then(|name| match name {
            "" => Ok(None),
            name => values::hostname(name).map(Some),
        }) {
            Ok(name) => self.builder.kept_hostname = name,
            Err(problem) => self.report(Source::Disk, HOSTNAME_FILE.to_owned(), "", 0, problem),
        }
    }

    /// The data disk's: a flag a line.
    fn file(&mut self, file: &[u8]) {
        let source = Source::Disk;
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let text = trim(line);
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let (name, value) = pair(text);
            let (name, line) = (trim(name), at + 1);
            match find(name) {
                None => self.unknown(source, name, line),
                Some(flag) => self.take(&Given {
                    flag,
                    source,
                    name,
                    value: value.map(trim).map(unquoted),
                    line,
                }),
            }
        }
    }

    fn entry(&mut self, source: Source, given: &[u8], file: &[u8]) {
        let name = given.strip_prefix(b"b2p.").unwrap_or(given);
        let Some(flag) = find(given) else {
            self.unknown(source, given, 0);
            return;
        };
        let value = trim(file);
        if flag.repeats && !value.is_empty() {
            self.lines(flag, source, name, file);
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
    fn lines(&mut self, flag: &'static Flag, source: Source, name: &[u8], file: &[u8]) {
        // A string of SMBIOS is one line.
        let counted = usize::from(file.contains(&b'\n') || source == Source::FwCfg);
        let mut in_pem = false;
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let value = trim(line);
            if !in_pem && !value.is_empty() && !value.starts_with(b"#") {
                self.take(&Given {
                    flag,
                    source,
                    name,
                    value: Some(value),
                    line: (at + 1) * counted,
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
            self.unknown(source, name, 0);
        }
    }

    /// An open quote is the kernel's own matter, unless one of our flags has it
    /// or was swallowed by it.
    fn open(&mut self, token: &Token<'_>) {
        let ours = |text: &[u8]| text.windows(4).any(|four| four == b"b2p.");
        let known = FLAGS.iter().any(|flag| same_name(token.name, flag.name));
        if known || ours(token.name) || token.value.is_some_and(ours) {
            let flag = shown(token.name);
            self.report(Source::CommandLine, flag, "", 0, Problem::Open);
        }
    }

    fn unknown(&mut self, source: Source, name: &[u8], line: usize) {
        let short = name.strip_prefix(b"b2p.").unwrap_or(name);
        let word = str::from_utf8(short).unwrap_or_default().replace('-', "_");
        let short = suggest(&word, &mut FLAGS.iter().map(Flag::short));
        let flag = FLAGS.iter().find(|flag| Some(flag.short()) == short);
        let nearest = match source {
            Source::FwCfg | Source::Smbios => short,
            Source::CommandLine | Source::Disk => flag.map(|flag| flag.name),
        };
        self.report(
            source,
            in_full(source, name),
            "",
            line,
            Problem::Unknown { nearest },
        );
    }

    fn take(&mut self, given: &Given<'_>) {
        let flag = given.flag;
        if flag.early && given.source == Source::Disk {
            self.report(given.source, given.shown(), "", given.line, Problem::Early);
            return;
        }
        let rival = self.rival(given);
        let before = (self.every || rival.is_some()).then(|| self.builder.clone());
        let applied = given
            .text()
            .and_then(|text| (flag.apply)(&mut self.builder, text));
        let changed = before.is_some_and(|before| before != self.builder);
        if let Err(problem) = applied {
            self.report(
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
            self.report(
                given.source,
                given.shown(),
                "",
                given.line,
                Problem::Twice { lost },
            );
        }
        let (sets, source, shown) = (flag.sets(), given.source, given.shown());
        if !(self.every && flag.repeats) {
            self.made.retain(|made| made.sets != sets);
        }
        self.made.push(Assignment {
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

    fn report(
        &mut self,
        source: Source,
        flag: String,
        allowed: &'static str,
        line: usize,
        problem: Problem,
    ) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(Diagnostic {
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

    pub(crate) fn finish(mut self) -> (Config, Vec<Diagnostic>) {
        if self.dropped > 0 {
            let (source, problem) = (Source::CommandLine, Problem::More(self.dropped));
            let flag = String::new();
            self.diagnostics.push(Diagnostic {
                source,
                flag,
                allowed: "",
                line: 0,
                problem,
            });
        }
        (self.builder.finish(), self.diagnostics)
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
                flag.push_str(&shown(&without_password(value)));
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
        Source::Smbios => ["boot2podman:", &name].concat(),
        Source::CommandLine | Source::Disk => name,
    }
}

/// The flag of this name, with or without its `b2p.`.
fn find(name: &[u8]) -> Option<&'static Flag> {
    let short = name.strip_prefix(b"b2p.").unwrap_or(name);
    FLAGS.iter().find(|flag| same_name(short, flag.short()))
}

/// What is before the first `=`, and what is behind it.
fn pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = text.iter().position(|byte| *byte == b'=');
    let at = at.unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(at).unwrap_or((text, &[]));
    (name, rest.get(1..))
}

/// Without the double quotes around it.
fn unquoted(text: &[u8]) -> &[u8] {
    let inner = text.strip_prefix(b"\"");
    let inner = inner.and_then(|text| text.strip_suffix(b"\""));
    inner.unwrap_or(text)
}

/// `http://me:secret@host` without what is before the `@`.
fn without_password(value: &[u8]) -> Vec<u8> {
    let start = value.windows(3).position(|three| three == b"://");
    let start = start.map_or(0, |at| at + 3);
    let (scheme, rest) = value.split_at_checked(start).unwrap_or((&[], value));
    match rest.iter().rposition(|byte| *byte == b'@') {
        Some(at) if start > 0 => [scheme, b"...", rest.get(at..).unwrap_or_default()].concat(),
        _ => value.to_vec(),
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
