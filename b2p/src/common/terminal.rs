// SPDX-License-Identifier: Apache-2.0
//! Standard output and error: width, colours and characters that the output can show.
#![expect(unsafe_code, reason = "ioctl_tty(2) has no safe wrapper")]

use std::env;
use std::io::{IsTerminal, Write};

use sys::printable::printable_text;

/// Characters for drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// ASCII only.
    Ascii,
    /// Half blocks too, the only partial ones in the fonts of the kernel's console.
    Halves,
    /// Eighths of blocks too.
    Eighths,
}

/// Abilities of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Width in columns, or `None` for a file or a pipe, which have no width.
    pub width: Option<usize>,
    /// True if the output shows colours.
    pub colour: bool,
    /// Characters for drawings.
    pub glyphs: Glyphs,
}

/// Colours, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Good.
    Green,
    /// Pending, or to be noticed.
    Yellow,
    /// Failed.
    Red,
    /// Failed, in bold.
    Alarm,
    /// Neutral.
    Blue,
    /// Minor.
    Dim,
}

impl Terminal {
    /// Returns the abilities of the standard output.
    #[must_use]
    pub fn stdout() -> Terminal {
        let tty = std::io::stdout().is_terminal();
        let set = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Terminal {
            width: tty.then(columns),
            colour: tty && set("NO_COLOR").is_none() && !matches!(term.as_str(), "" | "dumb"),
            glyphs: glyphs(&term, &locale.unwrap_or_default()),
        }
    }

    /// Returns `text` in a colour, if the output shows colours.
    #[must_use]
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Alarm => "1;31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Blue => "34",
            Colour::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn glyphs(term: &str, locale: &str) -> Glyphs {
    let locale = locale.to_ascii_lowercase();
    let utf8 = locale.contains("utf-8") || locale.contains("utf8");
    match term {
        _ if !utf8 => Glyphs::Ascii,
        "dumb" => Glyphs::Ascii,
        "linux" => Glyphs::Halves,
        _ => Glyphs::Eighths,
    }
}

/// Returns the width of the terminal, or 80: a serial line does not report one.
fn columns() -> usize {
    // SAFETY: a plain structure of numbers, and a live pointer to this structure.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size);
        size
    };
    match size.ws_col {
        0 => 80,
        columns => columns.into(),
    }
}

/// Returns the number of columns of `text`: East Asian characters and emoji take two, combining
/// characters none (Unicode TR 11, its large ranges).
#[must_use]
pub fn width(text: &str) -> usize {
    let columns = |c: char| match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// Writes to the standard output. Errors are ignored: a reader that has closed the output needs no
/// more.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to the standard error. Errors are ignored, also of a closed one.
pub fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes text of others to the standard output, by [`plain`].
pub fn print_plain(text: &str) {
    print(&plain(text));
}

/// Writes a line with text of others to the standard error, by [`plain`].
pub fn print_plain_error(text: &str) {
    print_error(&plain(text));
}

/// Returns text with its control characters escaped, except line ends, so that the text does not drive
/// the terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    let lines = text.split('\n').map(|line| printable_text(line.as_bytes()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_by_terminal_and_locale() {
        assert_eq!(glyphs("xterm", "C.UTF-8"), Glyphs::Eighths);
        assert_eq!(glyphs("", "en_GB.utf8"), Glyphs::Eighths);
        assert_eq!(glyphs("linux", "C.UTF-8"), Glyphs::Halves);
        assert_eq!(glyphs("linux", "C"), Glyphs::Ascii);
        assert_eq!(glyphs("dumb", "C.UTF-8"), Glyphs::Ascii);
        assert_eq!(glyphs("xterm", ""), Glyphs::Ascii);
    }

    #[test]
    fn text_of_others_drives_no_terminal() {
        for (text, want) in [
            ("a\nb\n", "a\nb\n"),
            ("\u{1b}]0;x\u{7}\n", "\\x1b]0;x\\x07\n"),
            ("a\rb\u{9b}2J", "a\\x0db\\xc2\\x9b2J"),
            ("\u{25cf} \t\u{202e}", "\u{25cf} \t\\xe2\\x80\\xae"),
        ] {
            assert_eq!(plain(text), want, "{text:?}");
        }
    }

    #[test]
    fn width_of_text_in_columns() {
        for (text, columns) in [
            ("abc", 3),
            ("é", 1),
            ("e\u{301}", 1),
            ("漢字", 4),
            ("😀", 2),
            ("█▌", 2),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }
}
