// SPDX-License-Identifier: Apache-2.0
//! Options and their values, one after the other: `-n5`, `-n 5`, `--lines=5`, `-fa`
//! (getopt_long(3), without abbreviations of long names).

use std::fmt;

use super::terminal::print_error;

/// Reason why arguments cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The user asks for help.
    Help,
    /// An argument is wrong; the text names the argument and the value that would be right.
    Wrong(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Help => f.write_str("help is asked for"),
            Problem::Wrong(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Problem {}

/// Prints `usage`, or the fault; returns the exit status.
#[must_use]
pub fn usage(command: &str, problem: &Problem, usage: &str) -> i32 {
    match problem {
        Problem::Help => {
            print!("{usage}");
            0
        }
        Problem::Wrong(why) => {
            eprintln!("{command}: {why}; see `{command} --help`");
            2
        }
    }
}

/// Returns true if every option in `args` is `--json`; reports the first other one.
#[must_use]
pub fn only_json_option(command: &str, args: &[String]) -> bool {
    let mut options = args.iter().filter(|arg| arg.starts_with('-'));
    let unknown = options.find(|option| *option != "--json");
    if let Some(option) = unknown {
        print_error(&format!("b2p {command}: {option}: no such option"));
    }
    unknown.is_none()
}

/// An option or an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// `-f`.
    Short(char),
    /// `--follow`, without its value.
    Long(&'a str),
    /// An argument that is no option.
    Operand(&'a str),
}

impl Arg<'_> {
    /// Returns the problem of a command that does not know this argument.
    #[must_use]
    pub fn unknown(&self) -> Problem {
        match self {
            Arg::Short('h') | Arg::Long("help") => Problem::Help,
            Arg::Short(c) => Problem::Wrong(format!("-{c}: no such option")),
            Arg::Long(name) => Problem::Wrong(format!("--{name}: no such option")),
            Arg::Operand(name) => Problem::Wrong(format!("{name}: no such argument")),
        }
    }
}

/// Reader of the arguments of a command.
#[derive(Debug)]
pub struct Args<'a> {
    rest: std::slice::Iter<'a, String>,
    /// Remainder of an argument of short options, or `=value` of a long one.
    remainder: Option<&'a str>,
    /// True after `--`: every further argument is an operand.
    operands_only: bool,
}

impl<'a> Args<'a> {
    /// Reads `args`, which do not include the name of the command.
    #[must_use]
    pub fn new(args: &'a [String]) -> Args<'a> {
        Args {
            rest: args.iter(),
            remainder: None,
            operands_only: false,
        }
    }

    /// Returns the next option or operand, or `None` at the end.
    ///
    /// # Errors
    /// The option before has a value (`--follow=1`) and does not take one.
    pub fn next_arg(&mut self) -> Result<Option<Arg<'a>>, Problem> {
        if let Some(remainder) = self.remainder.take() {
            if let Some(value) = remainder.strip_prefix('=') {
                return Err(Problem::Wrong(format!("`{value}` belongs to no option")));
            }
            return Ok(Some(self.short(remainder)));
        }
        let Some(arg) = self.rest.next() else {
            return Ok(None);
        };
        if self.operands_only || !arg.starts_with('-') || arg == "-" {
            return Ok(Some(Arg::Operand(arg)));
        }
        if arg == "--" {
            self.operands_only = true;
            return self.next_arg();
        }
        match arg.strip_prefix("--") {
            Some(long) => {
                let end = long.find('=').unwrap_or(long.len());
                let (name, value) = long.split_at(end);
                self.remainder = (!value.is_empty()).then_some(value);
                Ok(Some(Arg::Long(name)))
            }
            None => Ok(Some(self.short(arg.get(1..).unwrap_or("")))),
        }
    }

    fn short(&mut self, letters: &'a str) -> Arg<'a> {
        let mut chars = letters.chars();
        let first = chars.next().unwrap_or('-');
        self.remainder = Some(chars.as_str()).filter(|rest| !rest.is_empty());
        Arg::Short(first)
    }

    /// Returns the value of the option that [`Args::next_arg`] has just returned, if the value is a
    /// number: the rest of the argument, or the next one.
    pub fn optional_number(&mut self) -> Option<&'a str> {
        self.optional(|arg| !arg.is_empty() && arg.bytes().all(|b| b.is_ascii_digit()))
    }

    /// Returns the value of the option that [`Args::next_arg`] has just returned, if the value
    /// fits.
    pub fn optional(&mut self, fits: impl Fn(&str) -> bool) -> Option<&'a str> {
        if let Some(joined) = self.remainder {
            let value = joined.strip_prefix('=').unwrap_or(joined);
            self.remainder = self.remainder.filter(|_| !fits(value));
            return fits(value).then_some(value);
        }
        let next = self.rest.as_slice().first().filter(|arg| fits(arg))?;
        self.rest.next();
        Some(next)
    }

    /// Returns the value of the option that [`Args::next_arg`] has just returned.
    ///
    /// # Errors
    /// No further argument follows; the text names `option`.
    pub fn value(&mut self, option: &str) -> Result<&'a str, Problem> {
        let joined = self.remainder.take();
        let joined = joined.map(|value| value.strip_prefix('=').unwrap_or(value));
        joined
            .or_else(|| self.rest.next().map(String::as_str))
            .ok_or_else(|| Problem::Wrong(format!("{option} needs a value")))
    }
}
