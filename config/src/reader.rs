// SPDX-License-Identifier: Apache-2.0
//! Reader: finds the flags in every source, applies them, and records the faults.

use crate::builder::Builder;
use crate::cmdline::{self, Token};
use crate::diagnostic::{Diagnostic, MAX_DIAGNOSTICS, Problem, Source, quoted};
use crate::flag::Flag;
use crate::flags::FLAGS;
use crate::occurrence::{
    Occurrence, find_flag, full_name, is_same_name, is_utf16, split_pair, trim, unquote,
};
use crate::settings::Config;
use crate::sources::Sources;
use crate::suggest::suggest;
use crate::{smbios, sshkey, values};

/// Name of the file on the data disk that holds the host name, for diagnostics.
pub(crate) const HOSTNAME_FILE: &str = "hostname";
/// Prefix of the OEM strings that hold flags.
const OEM_PREFIX: &[u8] = b"boot2podman:";

/// Setting that a flag has set.
pub(crate) struct Assignment {
    /// Name of the setting ([`Flag::setting`]).
    pub setting: &'static str,
    pub source: Source,
    /// Unchanged text of the flag that set the value.
    pub flag: String,
}

#[derive(Default)]
pub(crate) struct Reader {
    pub builder: Builder,
    pub assignments: Vec<Assignment>,
    diagnostics: Vec<Diagnostic>,
    /// Number of diagnostics beyond [`MAX_DIAGNOSTICS`].
    omitted: usize,
    /// True if `assignments` keeps every occurrence of a repeatable flag.
    keep_repeats: bool,
}

impl Reader {
    /// Reads every source, from the lowest precedence to the highest.
    pub(crate) fn read(sources: &Sources<'_>, keep_repeats: bool) -> Reader {
        let mut reader = Reader {
            keep_repeats,
            ..Reader::default()
        };
        reader.apply_disk_extras(sources);
        reader.apply_hostname(sources.hostname);
        reader.read_file(Source::Disk, sources.disk);
        reader.read_file(Source::Document, sources.document);
        for text in smbios::oem_strings(sources.smbios) {
            if let Some(text) = text.strip_prefix(OEM_PREFIX) {
                let (name, value) = split_pair(text);
                reader.read_entry(Source::Smbios, name, value.unwrap_or_default());
            }
        }
        for entry in sources.fw_cfg {
            reader.read_entry(Source::FwCfg, entry.name, entry.value);
        }
        for token in cmdline::tokens(sources.cmdline) {
            reader.read_token(&token);
        }
        reader
    }

    /// Applies the variables and boot scripts that `b2p data` has found on the data disk. Invalid
    /// lines are ignored, because `b2p data` has reported them.
    fn apply_disk_extras(&mut self, sources: &Sources<'_>) {
        let config = &mut self.builder.config;
        let environment = String::from_utf8_lossy(sources.environment);
        for (name, value) in environment.lines().filter_map(values::variable) {
            config.environment.retain(|(known, _)| *known != name);
            config.environment.push((name, value));
        }
        let hooks = String::from_utf8_lossy(sources.hooks);
        for name in hooks.lines().filter(|name| values::is_service_name(name)) {
            config.services.retain(|(known, _)| known != name);
            config.services.push((name.to_owned(), true));
        }
    }

    /// Applies the host name in the first line of a file (hostname(5)).
    fn apply_hostname(&mut self, file: &[u8]) {
        let line = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = str::from_utf8(trim(line)).map_err(|_| Problem::invalid("not UTF-8"));
        let applied = text.and_then(|text| match text {
            "" => Ok(()),
            name => values::hostname(name, &mut self.builder.disk_hostname),
        });
        if let Err(problem) = applied {
            self.report(Source::Disk, HOSTNAME_FILE.to_owned(), "", 0, problem);
        }
    }

    /// Reads a configuration file, one flag per line.
    fn read_file(&mut self, source: Source, file: &[u8]) {
        for (line, text) in (1..).zip(file.split(|byte| *byte == b'\n')) {
            let text = trim(text);
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let (name, value) = split_pair(text);
            let name = trim(name);
            match find_flag(name) {
                None => self.report_unknown(source, name, line),
                Some(flag) => self.apply(&Occurrence {
                    flag,
                    source,
                    name,
                    value: value.map(trim).map(unquote),
                    line,
                }),
            }
        }
    }

    /// Reads an entry of fw_cfg or an OEM string.
    fn read_entry(&mut self, source: Source, written: &[u8], value: &[u8]) {
        let Some(flag) = find_flag(written) else {
            self.report_unknown(source, written, 0);
            return;
        };
        let name = written.strip_prefix(b"b2p.").unwrap_or(written);
        let trimmed = trim(value);
        if is_utf16(value) {
            let problem = Problem::invalid("UTF-16; save it as UTF-8");
            self.report(source, full_name(source, name), "", 0, problem);
            return;
        }
        if flag.repeatable && !trimmed.is_empty() {
            self.read_lines(flag, source, name, value);
            return;
        }
        // An entry always has a value: an empty one stands for a flag without a value.
        let absent = flag.value_optional && trimmed.is_empty();
        self.apply(&Occurrence {
            flag,
            source,
            name,
            value: (!absent).then_some(trimmed),
            line: 0,
        });
    }

    /// Reads every line of an entry as one value. The lines inside a PEM block hold no flag and may
    /// be secret, and are therefore skipped.
    fn read_lines(&mut self, flag: &'static Flag, source: Source, name: &[u8], value: &[u8]) {
        let has_lines = value.contains(&b'\n') || source == Source::FwCfg;
        let mut in_pem = false;
        for (number, text) in (1..).zip(value.split(|byte| *byte == b'\n')) {
            let text = trim(text);
            if !in_pem && !text.is_empty() && !text.starts_with(b"#") {
                self.apply(&Occurrence {
                    flag,
                    source,
                    name,
                    value: Some(text),
                    line: if has_lines { number } else { 0 },
                });
            }
            if text.starts_with(sshkey::PEM_DASHES.as_bytes()) {
                in_pem = !in_pem;
            }
        }
    }

    /// Reads a parameter of the command line. Unknown ones are the kernel's, unless they begin
    /// with `b2p.`.
    fn read_token(&mut self, token: &Token<'_>) {
        let source = Source::CommandLine;
        let Token {
            name,
            value,
            unclosed,
        } = *token;
        if unclosed {
            self.report_unclosed_quote(token);
        }
        if let Some(flag) = FLAGS.iter().find(|flag| is_same_name(name, flag.name)) {
            self.apply(&Occurrence {
                flag,
                source,
                name,
                value,
                line: 0,
            });
        } else if name.starts_with(b"b2p.") {
            self.report_unknown(source, name, 0);
        }
    }

    fn apply(&mut self, occurrence: &Occurrence<'_>) {
        let flag = occurrence.flag;
        if flag.before_data_disk && occurrence.source.is_after_data_disk() {
            self.report_occurrence(occurrence, "", Problem::TooLate);
            return;
        }
        let overridden = self.overridden_by(occurrence);
        let must_compare = self.keep_repeats || overridden.is_some();
        let before = must_compare.then(|| self.builder.clone());
        let text = occurrence.text();
        let applied = text.and_then(|text| (flag.apply)(&mut self.builder, text));
        let changed = before.is_some_and(|before| before != self.builder);
        if let Err(problem) = applied {
            self.report_occurrence(occurrence, flag.values, problem);
            // A list or an `ip=` is applied in part: its valid parts count.
            if !changed {
                return;
            }
        }
        // An equal value is no mistake.
        if let Some(overridden) = overridden
            && changed
        {
            self.report_occurrence(occurrence, "", Problem::Repeated { overridden });
        }
        let setting = flag.setting();
        if !(self.keep_repeats && flag.repeatable) {
            self.assignments.retain(|other| other.setting != setting);
        }
        self.assignments.push(Assignment {
            setting,
            source: occurrence.source,
            flag: occurrence.quoted(),
        });
    }

    /// Returns the earlier flag of the same source that set the same setting.
    fn overridden_by(&self, occurrence: &Occurrence<'_>) -> Option<String> {
        let flag = occurrence.flag;
        let is_earlier = |assignment: &&Assignment| {
            assignment.setting == flag.setting() && assignment.source == occurrence.source
        };
        let earlier = self.assignments.iter().find(is_earlier)?;
        (!flag.repeatable).then(|| earlier.flag.clone())
    }

    /// Reports an unclosed quote if the quote begins in a flag of this system or encloses one.
    /// Other unclosed quotes are the kernel's own matter.
    fn report_unclosed_quote(&mut self, token: &Token<'_>) {
        let has_flag = |text: &[u8]| text.windows(4).any(|four| four == b"b2p.");
        let mut flags = FLAGS.iter();
        let known = flags.any(|flag| is_same_name(token.name, flag.name));
        if known || has_flag(token.name) || token.value.is_some_and(has_flag) {
            let flag = quoted(token.name);
            self.report(Source::CommandLine, flag, "", 0, Problem::UnclosedQuote);
        }
    }

    fn report_unknown(&mut self, source: Source, name: &[u8], line: usize) {
        let short = name.strip_prefix(b"b2p.").unwrap_or(name);
        let text = str::from_utf8(short).unwrap_or_default().replace('-', "_");
        let short = suggest(&text, &mut FLAGS.iter().map(Flag::short_name));
        let flag = FLAGS.iter().find(|flag| Some(flag.short_name()) == short);
        let suggestion = match source {
            Source::FwCfg | Source::Smbios => short,
            Source::CommandLine | Source::Disk | Source::Document => flag.map(|flag| flag.name),
        };
        let flag = full_name(source, name);
        self.report(source, flag, "", line, Problem::UnknownFlag { suggestion });
    }

    fn report_occurrence(
        &mut self,
        occurrence: &Occurrence<'_>,
        allowed: &'static str,
        problem: Problem,
    ) {
        let (source, line) = (occurrence.source, occurrence.line);
        self.report(source, occurrence.quoted(), allowed, line, problem);
    }

    fn report(
        &mut self,
        source: Source,
        flag: String,
        allowed: &'static str,
        line: usize,
        problem: Problem,
    ) {
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            self.omitted += 1;
            return;
        }
        self.diagnostics.push(Diagnostic {
            source,
            flag,
            allowed,
            line,
            problem,
        });
    }

    pub(crate) fn finish(mut self) -> (Config, Vec<Diagnostic>) {
        if self.omitted > 0 {
            self.diagnostics.push(Diagnostic {
                source: Source::CommandLine,
                flag: String::new(),
                allowed: "",
                line: 0,
                problem: Problem::Omitted(self.omitted),
            });
        }
        (self.builder.finish(), self.diagnostics)
    }
}
