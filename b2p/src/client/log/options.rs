// SPDX-License-Identifier: Apache-2.0
//! Arguments of `b2p log`.

use std::path::PathBuf;

use super::style::Format;
use crate::common::args::{Arg, Args, Problem};
use crate::common::log::filter::service_names;
use crate::common::log::record::LEVELS;

/// Default directory of the log files.
const DIR: &str = sys::paths::LOG_DIR;

/// Text of `b2p log --help`.
pub const USAGE: &str = "\
usage: b2p log [-f] [-n LINES] [-p LEVEL] [-a] [NAME…]

Shows what the kernel, PID 1 and the services have logged since this boot.
NAME is a service or a program, `init` for PID 1 itself, `kernel`.

  -f, --follow      prints new records as they are logged
  -n, --lines N     the last N lines only
  -p, --priority L  this level and worse: emerg alert crit err warn notice info debug
  -b, --boot        this boot only, which is the default
  -a, --all         earlier boots too, from the log on disk
      --dir DIR     directory of the log on disk (/var/lib/boot2podman/log)
      --utc         times in UTC
";

/// Options of `b2p log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Continues with new records.
    pub follow: bool,
    /// Shows only the last lines, at most as many.
    pub last: Option<usize>,
    /// Highest level that is shown; 0 is the worst, 7 is for debugging (syslog(3)).
    pub max_level: u8,
    /// Shows times in UTC instead of the local time.
    pub utc: bool,
    /// Boots that are shown.
    pub boots: Choice,
    /// Earliest time, in microseconds since 1970.
    pub since: Option<i64>,
    /// Latest time.
    pub until: Option<i64>,
    /// The newest line is the first.
    pub reverse: bool,
    /// Form of the lines.
    pub format: Format,
    /// The names are those of units.
    pub of_units: bool,
    /// Neither marks nor a line about their absence are shown.
    pub quiet: bool,
    /// Expression that messages must match, and its sensitivity to case.
    pub grep: Option<(String, Option<bool>)>,
    /// Processes of which one has sent a record; empty for all.
    pub pids: Vec<String>,
    /// The boots are listed, and no records.
    pub list_boots: bool,
    /// Directory of the log files.
    pub dir: PathBuf,
    /// Services and programs that are shown; empty for all of them. Of each list there is one that a record is from.
    pub names: Vec<Vec<String>>,
}

/// Boots whose records are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The boot that runs.
    This,
    /// The boot that runs and those before, as far as there are files.
    All,
    /// The nth before this one.
    Earlier(usize),
    /// The nth of the log, from 1.
    Nth(usize),
    /// The one with this number, without hyphens.
    Id(String),
}

impl Options {
    /// Returns the options of an empty command line.
    pub fn new() -> Options {
        Options {
            follow: false,
            last: None,
            max_level: 7,
            utc: false,
            boots: Choice::This,
            since: None,
            until: None,
            reverse: false,
            format: Format::Plain,
            of_units: false,
            quiet: false,
            grep: None,
            pids: Vec::new(),
            list_boots: false,
            dir: PathBuf::from(DIR),
            names: Vec::new(),
        }
    }

    /// Reads the arguments.
    ///
    /// # Errors
    /// An argument is unknown or has no or a wrong value, or help is requested.
    pub fn parse(args: &[String]) -> Result<Options, Problem> {
        let mut options = Options::new();
        let mut args = Args::new(args);
        while let Some(arg) = args.next_arg()? {
            match arg {
                Arg::Short('f') | Arg::Long("follow") => options.follow = true,
                Arg::Short('b') | Arg::Long("boot") => options.boots = Choice::This,
                Arg::Short('a') | Arg::Long("all") => options.boots = Choice::All,
                Arg::Long("utc") => options.utc = true,
                Arg::Short('n') | Arg::Long("lines") => {
                    options.last = Some(lines(args.value("-n")?)?);
                }
                Arg::Short('p') | Arg::Long("priority") => {
                    options.max_level = level(args.value("-p")?)?;
                }
                Arg::Long("dir") => options.dir = PathBuf::from(args.value("--dir")?),
                Arg::Operand(name) => {
                    options.names.resize(1, Vec::new());
                    options
                        .names
                        .iter_mut()
                        .for_each(|names| names.extend(service_names(name)));
                }
                other => return Err(other.unknown()),
            }
        }
        Ok(options)
    }
}

fn lines(text: &str) -> Result<usize, Problem> {
    text.parse()
        .map_err(|_| Problem::Wrong(format!("-n: `{text}` is no number of lines")))
}

/// Reads a level: its number, its name, or one of syslog(3)'s old names.
pub fn level(text: &str) -> Result<u8, Problem> {
    let name = match text {
        "panic" => "emerg",
        "error" => "err",
        "warning" => "warn",
        other => other,
    };
    let by_name = LEVELS.iter().position(|l| *l == name);
    let by_number = || text.parse::<usize>().ok().filter(|n| *n < LEVELS.len());
    by_name
        .or_else(by_number)
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| Problem::Wrong(format!("-p: `{text}` is none of {}", LEVELS.join(" "))))
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
    fn an_old_service_name_shows_the_present_one_too() {
        let names = parse("zone sshd").expect("two names").names;
        assert_eq!(names, [["zone", "timezone", "sshd"]]);
    }

    #[test]
    fn options_are_parsed_in_short_long_and_joined_form() {
        let plain = parse("").expect("nothing is fine");
        assert_eq!(
            (plain.follow, plain.last, plain.max_level, plain.boots),
            (false, None, 7, Choice::This)
        );
        let want = Options {
            follow: true,
            last: Some(20),
            max_level: 4,
            boots: Choice::All,
            names: vec![vec!["sshd".into(), "-x".into()]],
            ..plain
        };
        for line in [
            "-f -a -n 20 -p warn sshd -- -x",
            "-fan20 -p4 sshd -- -x",
            "--follow --all --lines=20 --priority=warning sshd -- -x",
            "sshd -abfn=20 -ap warn -- -x",
        ] {
            assert_eq!(parse(line).as_ref(), Ok(&want), "{line}");
        }
    }

    #[test]
    fn errors_name_the_wrong_option_or_value() {
        for (line, part) in [
            ("-x", "-x"),
            ("--lines", "needs a value"),
            ("-n x", "`x`"),
            ("-p loud", "emerg"),
            ("-p 8", "`8`"),
            ("--follow=1", "`1`"),
        ] {
            let why = parse(line).expect_err(line).to_string();
            assert!(why.contains(part), "{line}: {why}");
        }
        assert_eq!(parse("-h"), Err(Problem::Help));
    }

    proptest! {
        #[test]
        fn parse_never_panics(words in prop::collection::vec("(-{0,2}[a-zé=]{0,4}|\\PC{0,6})", 0..6)) {
            let _ = Options::parse(&words);
        }
    }
}
