// SPDX-License-Identifier: Apache-2.0
//! Appearance of lines: `b2p log`'s own, and those of journalctl(1).

use super::fields::{self, Layout, Origin, origin};
use crate::common::log::log_time;
use crate::common::log::record::{KERNEL, Priority, printable, unescape};
use crate::helpers::quadlet::names::Logged;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, origin and text, as `b2p log` shows them.
    #[default]
    Plain,
    /// `TIME box web[12]: text`.
    Short(Stamp),
    /// The text alone.
    Cat,
    /// The journal's fields (systemd.journal-fields(7)).
    Fields(Layout),
}

/// Form of the time of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `Nov 23 20:30:38`.
    Syslog,
    /// `Nov 23 20:30:38.123456`.
    Precise,
    /// `2026-11-23T20:30:38+0000`.
    Iso,
    /// `Mon 2026-11-23 20:30:38 UTC`.
    Full,
    /// `1795465838.123456`.
    Unix,
    /// `[    0.123456]`, since the boot.
    Monotonic,
}

impl Format {
    /// Returns true if lines that are no records may be among those of the format.
    #[must_use]
    pub fn has_marks(self) -> bool {
        matches!(
            self,
            Format::Plain | Format::Short(_) | Format::Fields(Layout::Verbose)
        )
    }
}

/// Appearance of lines.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Form of a line.
    pub format: Format,
    /// Shows the date.
    pub dated: bool,
    /// Shows times in UTC instead of the local time.
    pub utc: bool,
    /// Shows errors in red and warnings in yellow.
    pub colours: bool,
    /// Name of the host.
    pub host: String,
    /// Number of the boot, without hyphens.
    pub boot: String,
    /// Difference of times since 1970 to those of the kernel log, in microseconds; `None` for an earlier boot.
    pub offset: Option<i64>,
    /// Units by their names in the log, for the formats that show the unit of a record.
    pub units: Vec<Logged>,
}

impl Style {
    /// Appends a line.
    pub fn line(&self, us: i64, priority: Priority, text: &[u8], out: &mut String) {
        let shown = shown(text);
        match self.format {
            Format::Plain => self.plain(us, priority, &shown, out),
            Format::Short(stamp) => self.short(stamp, us, priority, &shown, out),
            Format::Cat => {
                out.push_str(origin(priority, &shown).message);
                out.push('\n');
            }
            Format::Fields(layout) => {
                let fields = self.fields(us, priority, &shown);
                fields::write(layout, &fields, us, out);
            }
        }
    }

    /// Returns the text of a record without its origin.
    #[must_use]
    pub fn message(priority: Priority, text: &[u8]) -> String {
        origin(priority, &shown(text)).message.to_owned()
    }

    fn plain(&self, us: i64, priority: Priority, text: &str, out: &mut String) {
        log_time::append_wall_clock(us, self.dated, self.utc, out);
        out.push(' ');
        let colour = self.colour(priority);
        out.push_str(colour);
        if priority.facility() == KERNEL {
            out.push_str("kernel: ");
        }
        out.push_str(text);
        self.end(colour, out);
    }

    fn short(&self, stamp: Stamp, us: i64, priority: Priority, text: &str, out: &mut String) {
        out.push_str(&self.stamp(stamp, us));
        let Origin {
            name, pid, message, ..
        } = origin(priority, text);
        let pid = pid.map_or(String::new(), |pid| format!("[{pid}]"));
        let colour = self.colour(priority);
        let host = &self.host;
        out.push_str(&format!(" {host} {name}{pid}: {colour}{message}"));
        self.end(colour, out);
    }

    fn fields(&self, us: i64, priority: Priority, text: &str) -> Vec<fields::Field> {
        let mut all = fields::of_time(us, self.offset);
        let texts = [("_BOOT_ID", &self.boot), ("_HOSTNAME", &self.host)];
        all.extend(texts.map(|(key, text)| (key, text.clone())));
        all.extend(fields::of_origin(priority, text, &self.units));
        all
    }

    fn colour(&self, priority: Priority) -> &'static str {
        match priority.level() {
            0..=3 if self.colours => "\x1b[31m",
            4 if self.colours => "\x1b[33m",
            _ => "",
        }
    }

    fn end(&self, colour: &str, out: &mut String) {
        if !colour.is_empty() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }

    fn stamp(&self, stamp: Stamp, us: i64) -> String {
        let parts = |us: i64| (us.div_euclid(SECOND), us.rem_euclid(SECOND));
        let (second, micro) = parts(us);
        match (stamp, self.offset) {
            (Stamp::Iso, _) => log_time::format_iso(us, self.utc),
            (Stamp::Full, _) => log_time::format_systemd(us),
            (Stamp::Unix, _) => format!("{second}.{micro:06}"),
            (Stamp::Precise, _) => {
                format!("{}.{micro:06}", log_time::format_syslog(us, self.utc))
            }
            (Stamp::Monotonic, Some(offset)) => {
                let (second, micro) = parts(us.saturating_sub(offset));
                format!("[{second:>5}.{micro:06}]")
            }
            // The files have no time since the boot.
            (Stamp::Syslog | Stamp::Monotonic, _) => log_time::format_syslog(us, self.utc),
        }
    }
}

/// Returns the text of a record for a terminal.
fn shown(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    unescape(text, &mut bytes);
    let mut shown = String::new();
    printable(&bytes, |c| shown.push_str(c));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(style: &Style, number: u32, text: &str) -> String {
        let mut out = String::new();
        let priority = Priority::new(number).expect("a priority");
        style.line(1_795_465_838_123_999, priority, text.as_bytes(), &mut out);
        out
    }

    #[test]
    fn a_record_is_formatted_with_time_level_colour_and_text() {
        let mut style = Style {
            utc: true,
            ..Style::default()
        };
        assert_eq!(
            line(&style, 14, "a: \\xc3\\xa9\\x1b"),
            "20:30:38.123 a: é\\x1b\n"
        );
        assert_eq!(line(&style, 6, "x"), "20:30:38.123 kernel: x\n");
        (style.colours, style.dated) = (true, true);
        let red = "2026-11-23 20:30:38.123 \x1b[31mx\x1b[0m\n";
        assert_eq!(line(&style, 11, "x"), red);
        let yellow = "2026-11-23 20:30:38.123 \x1b[33mx\x1b[0m\n";
        assert_eq!(line(&style, 12, "x"), yellow);
        assert_eq!(line(&style, 13, "x"), "2026-11-23 20:30:38.123 x\n");
    }

    fn style(format: Format) -> Style {
        Style {
            format,
            utc: true,
            host: "box".to_owned(),
            boot: "b0".to_owned(),
            offset: Some(1_795_465_838_000_000),
            ..Style::default()
        }
    }

    #[test]
    fn times_of_journalctl() {
        for (stamp, time) in [
            (Stamp::Syslog, "Nov 23 20:30:38"),
            (Stamp::Precise, "Nov 23 20:30:38.123999"),
            (Stamp::Iso, "2026-11-23T20:30:38+0000"),
            (Stamp::Unix, "1795465838.123999"),
            (Stamp::Monotonic, "[    0.123999]"),
        ] {
            let shown = line(&style(Format::Short(stamp)), 15, "web: b");
            assert_eq!(shown, format!("{time} box web: b\n"));
        }
    }

    #[test]
    fn forms_of_journalctl() {
        for (format, number, text, right) in [
            (
                Format::Short(Stamp::Syslog),
                15,
                "web: a: b",
                "Nov 23 20:30:38 box web: a: b\n",
            ),
            (
                Format::Short(Stamp::Syslog),
                38,
                "sshd[812]: x",
                "Nov 23 20:30:38 box sshd[812]: x\n",
            ),
            (
                Format::Short(Stamp::Syslog),
                6,
                "Linux: x",
                "Nov 23 20:30:38 box kernel: Linux: x\n",
            ),
            (
                Format::Short(Stamp::Syslog),
                15,
                "no name",
                "Nov 23 20:30:38 box unknown: no name\n",
            ),
            (Format::Cat, 15, "web: a: b", "a: b\n"),
        ] {
            assert_eq!(line(&style(format), number, text), right, "{text}");
        }
    }
}
