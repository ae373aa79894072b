// SPDX-License-Identifier: Apache-2.0
//! Arguments of `b2p log-files`.

use std::path::PathBuf;

use super::files::Bounds;
use crate::common::args::{Arg, Args, Problem};

/// Text of `b2p log-files --help`.
pub const USAGE: &str = "\
usage: b2p log-files [--size BYTES[K|M]] [--files N] DIR

A service: keeps the kernel log in files in DIR, N of at most BYTES each.
";

/// Options of `b2p log-files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Directory of the files.
    pub dir: PathBuf,
    /// Bounds on them.
    pub bounds: Bounds,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An argument is unknown, wrong or missing, or help is requested.
    pub fn parse(args: &[String]) -> Result<Options, Problem> {
        let (mut dir, mut bounds) = (None, Bounds::DEFAULT);
        let mut args = Args::new(args);
        while let Some(arg) = args.next_arg()? {
            match arg {
                Arg::Long("size") => bounds.size = bytes(args.value("--size")?)?,
                Arg::Long("files") => bounds.files = files(args.value("--files")?)?,
                Arg::Operand(path) if dir.is_none() => dir = Some(PathBuf::from(path)),
                other => return Err(other.unknown()),
            }
        }
        let missing = || Problem::Wrong("a directory is missing".to_owned());
        let bounds = Bounds::new(bounds.size, bounds.files);
        Ok(Options {
            bounds: bounds.map_err(|e| Problem::Wrong(e.to_string()))?,
            dir: dir.ok_or_else(missing)?,
        })
    }
}

fn files(text: &str) -> Result<u32, Problem> {
    text.parse()
        .map_err(|_| Problem::Wrong(format!("--files: `{text}` is no number")))
}

fn bytes(text: &str) -> Result<u64, Problem> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| Problem::Wrong(format!("--size: `{text}` is no size; 512K or 4M would be")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Options, Problem> {
        let args: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn parse_reads_size_and_number_of_files() {
        let default = Options {
            dir: PathBuf::from("/x"),
            bounds: Bounds::DEFAULT,
        };
        assert_eq!(parse("/x"), Ok(default));
        let got = parse("--size=64k --files 1 /x").map(|o| (o.bounds.size, o.bounds.files));
        assert_eq!(got, Ok((65_536, 1)));
        assert_eq!(parse("--help"), Err(Problem::Help));
        for line in [
            "",
            "/x /y",
            "--size 63K /x",
            "--size 2000M /x",
            "--size x /x",
            "--files 0 /x",
            "--files 101 /x",
            "--size 99999999999999M /x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(words in prop::collection::vec("(-{0,2}[a-zé=]{0,4}|\\PC{0,6})", 0..6)) {
            let _ = Options::parse(&words);
        }
    }
}
