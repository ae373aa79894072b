// SPDX-License-Identifier: Apache-2.0
//! Options before the command, as getopt_long(3) reads `+A:b:ht:R:V`.

use crate::common::args::{Arg, Args, Problem};

use super::failure::Failure;

/// Usage of the tool.
pub(super) const USAGE: &str = "\
Usage: varlink [OPTION...] COMMAND [ARGUMENT...]

  -A, --activate=COMMAND   start a service that gets its socket as descriptor 3, and call it
  -b, --bridge=COMMAND     start a program and speak to it on its standard input and output
  -R, --resolver=ADDRESS   address of the resolver (unix:/run/org.varlink.resolver)
  -t, --timeout=SECONDS    longest wait for a reply
  -V, --version            show the version
  -h, --help               show this text

Commands:
  info [ADDRESS]                              show a service and its interfaces
  help [ADDRESS/]INTERFACE                    show the description of an interface
  call [-m] [ADDRESS/]INTERFACE.METHOD [JSON] call a method; -m accepts several replies,
                                              JSON `-` is read from the standard input
  resolve [INTERFACE]                         show the address of an interface
  bridge [-c ADDRESS]                         pass messages on from the standard input
  format [-i] FILE                            show a description in the usual form
";

/// Options before the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Command that becomes a service.
    pub activate: Option<String>,
    /// Command that leads to a service.
    pub bridge: Option<String>,
    /// Address of the resolver.
    pub resolver: Option<String>,
    /// Longest wait for a reply, in seconds.
    pub timeout: Option<u32>,
    pub help: bool,
    pub version: bool,
}

impl Options {
    /// Parses the options up to the command; returns the command and its arguments too.
    pub fn parse(args: &[String]) -> Result<(Options, &[String]), Failure> {
        let mut options = Options::default();
        let end = end_of_options(args);
        let mut reader = Args::new(&args[..end]);
        while let Some(arg) = reader.next_arg().map_err(wrong)? {
            match arg {
                Arg::Short('A') | Arg::Long("activate") => {
                    options.activate = Some(value(&mut reader, "-A")?);
                }
                Arg::Short('b') | Arg::Long("bridge") => {
                    options.bridge = Some(value(&mut reader, "-b")?);
                }
                Arg::Short('R') | Arg::Long("resolver") => {
                    options.resolver = Some(value(&mut reader, "-R")?);
                }
                Arg::Short('t') | Arg::Long("timeout") => {
                    let text = value(&mut reader, "-t")?;
                    let seconds = text.parse().map_err(|_| {
                        Failure::argument(format!("-t {text}: not a number of seconds"))
                    })?;
                    options.timeout = Some(seconds);
                }
                Arg::Short('h') | Arg::Long("help") => options.help = true,
                Arg::Short('V') | Arg::Long("version") => options.version = true,
                other => return Err(wrong(other.unknown())),
            }
        }
        if options.activate.is_some() && options.bridge.is_some() {
            return Err(Failure::argument("-A and -b exclude each other"));
        }
        Ok((options, &args[end..]))
    }
}

/// Returns the place of the command: the first argument that is no option and no value of one.
fn end_of_options(args: &[String]) -> usize {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let Some(letters) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            break;
        };
        at += 1;
        if arg == "--" {
            break;
        }
        let takes_next = match letters.strip_prefix('-') {
            Some(name) => matches!(name, "activate" | "bridge" | "resolver" | "timeout"),
            // The rest of an argument of short options is the value of the first that takes one.
            None => letters
                .find(['A', 'b', 'R', 't'])
                .is_some_and(|place| place + 1 == letters.len()),
        };
        at += usize::from(takes_next);
    }
    at.min(args.len())
}

fn value(reader: &mut Args<'_>, option: &str) -> Result<String, Failure> {
    reader.value(option).map(str::to_owned).map_err(wrong)
}

/// Turns a problem with the arguments into a failure of the tool.
pub(super) fn wrong(problem: Problem) -> Failure {
    Failure::argument(format!("{problem}; see `varlink --help`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::failure;
    use super::*;

    fn parse(line: &[&str]) -> Result<(Options, Vec<String>), Failure> {
        let args: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&args).map(|(options, rest)| (options, rest.to_vec()))
    }

    #[test]
    fn options_end_at_the_command() {
        let bridge = |command: &str| Options {
            bridge: Some(command.to_owned()),
            ..Options::default()
        };
        for (line, options, count) in [
            (&["call", "-m", "a.B"][..], Options::default(), 3),
            (
                &["-b", "ssh host varlink bridge", "info"],
                bridge("ssh host varlink bridge"),
                1,
            ),
            (&["-bssh", "info"], bridge("ssh"), 1),
            (&["--bridge=a b", "info"], bridge("a b"), 1),
            (&["--bridge", "a b", "info"], bridge("a b"), 1),
            (&["-b", "-x", "--", "info"], bridge("-x"), 1),
            (&["-b", "info"], bridge("info"), 0),
        ] {
            let (parsed, rest) = parse(line).unwrap();
            assert_eq!((parsed, rest.len()), (options, count), "{line:?}");
        }
        let (options, _) = parse(&["-hV", "-t5", "-R", "unix:/x"]).unwrap();
        assert!(options.help && options.version && options.timeout == Some(5));
        assert_eq!(options.resolver.as_deref(), Some("unix:/x"));
    }

    #[test]
    fn wrong_options_have_the_status_of_a_wrong_argument() {
        for line in [
            &["-x", "info"][..],
            &["--bridges=a", "info"],
            &["-b"],
            &["-t", "soon", "info"],
            &["-A", "a", "-b", "b", "info"],
            &["--help=a"],
        ] {
            let failure = parse(line).unwrap_err();
            assert_eq!(failure.status, failure::INVALID_ARGUMENT, "{line:?}");
            assert!(failure.text.is_some(), "{line:?}");
        }
    }
}
