//! What the output goes to: how wide it is, and what it can show.
#![expect(unsafe_code, reason = "ioctl_tty(2) has no safe wrapper")]

use std::env;
use std::io::{IsTerminal, Write};

/// Which characters draw a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// No others than ASCII.
    Ascii,
    /// Half blocks: the fonts of the kernel's own console have no more.
    Halves,
    /// Eighths of blocks.
    Eighths,
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` where nobody looks at lines: a file, a pipe.
    pub width: Option<usize>,
    /// Colours are shown.
    pub colour: bool,
    /// What pictures are made of.
    pub glyphs: Glyphs,
}

/// The few colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Green,
    /// On its way.
    Yellow,
    /// Wrong.
    Red,
    /// Wrong, and not to be overlooked.
    Alarm,
    /// Neither.
    Blue,
    /// Beside the point.
    Dim,
}

impl Screen {
    /// The standard output.
    #[must_use]
    pub fn stdout() -> Screen {
        let tty = std::io::stdout().is_terminal();
        let set = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Screen {
            width: tty.then(columns),
            colour: tty && set("NO_COLOR").is_none() && !matches!(term.as_str(), "" | "dumb"),
            glyphs: glyphs(&term, &locale.unwrap_or_default()),
        }
    }

    /// `text` in a colour, where there are any.
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

/// The terminal's, else 80: a serial line does not know its own.
fn columns() -> usize {
    // SAFETY: a plain structure of numbers, and a live pointer to it.
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

/// Columns that `text` takes: East Asian and emoji take two, what combines none
/// (Unicode TR 11, its large ranges).
#[must_use]
pub fn width(text: &str) -> usize {
    let of = |c: char| match c {
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
    text.chars().map(of).sum()
}

/// Writes to the standard output. Errors are ignored: a reader that has closed it needs no more.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to the standard error, if it is open.
pub fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_drawn() {
        assert_eq!(glyphs("xterm", "C.UTF-8"), Glyphs::Eighths);
        assert_eq!(glyphs("", "en_GB.utf8"), Glyphs::Eighths);
        assert_eq!(glyphs("linux", "C.UTF-8"), Glyphs::Halves);
        assert_eq!(glyphs("linux", "C"), Glyphs::Ascii);
        assert_eq!(glyphs("dumb", "C.UTF-8"), Glyphs::Ascii);
        assert_eq!(glyphs("xterm", ""), Glyphs::Ascii);
    }

    #[test]
    fn widths() {
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
