// SPDX-License-Identifier: Apache-2.0
//! Command line of journalctl(1) for the machine's log.

use super::options::{Choice, Options, level};
use super::since;
use super::style::Format;
use crate::common::args::{Arg, Args, Problem};
use crate::common::log::log_time;
use crate::common::pattern::is_pattern;
use crate::helpers::quadlet::host;
use crate::helpers::quadlet::names;
use crate::helpers::quadlet::specifiers::Owner;

/// Text of `journalctl --help`.
pub const USAGE: &str = "\
usage: journalctl [OPTION…]

Shows the machine's log as journalctl(1) does; `b2p log` shows the same log in its own form.

  -u, --unit UNIT          a unit and its container; repeatable
      --user, --user-unit  units of the user
  -t, --identifier NAME    a program
  -k, --dmesg              the kernel
  -p, --priority LEVEL     this level and worse
  -f, --follow             prints new records as they are logged
  -n, --lines [N|all]      the last N lines, 10 without a number
  -e, -r                   the end; newest first
  -b, --boot [N]           this boot; -1 is the one before, from the log on disk
      --since, --until T   times such as `2026-11-29 06:00`, `today`, `-1h`, `5 min ago`
  -o, --output FORM        short, short-iso, cat, json
      --no-pager -q -x -a -m and others have no effect
";

/// Number of lines that `-n` alone and `-f` show.
const FEW: usize = 10;
/// Number of lines that `-e` shows.
const MANY: usize = 1_000;
/// Long options that have no effect, and take no value.
const IGNORED: &[&str] = &[
    "no-pager",
    "quiet",
    "catalog",
    "all",
    "full",
    "no-full",
    "merge",
    "system",
    "no-hostname",
    "utc",
    "pager-end",
    "no-tail",
    "truncate-newline",
];

/// Reads the arguments. `user` is the owner of the units that `--user` names.
///
/// # Errors
/// An argument is unknown or has a wrong value, or help is requested.
pub fn parse(args: &[String], user: &Owner) -> Result<Options, Problem> {
    let mut line = Line {
        options: Options {
            format: Format::Short,
            of_units: true,
            ..Options::new()
        },
        units: Vec::new(),
        programs: Vec::new(),
        is_user: false,
    };
    let mut args = Args::new(args);
    while let Some(arg) = args.next_arg()? {
        if !line.select(arg, &mut args)? && !line.shape(arg, &mut args)? {
            return Err(match arg {
                Arg::Operand(word) => operand(word),
                other => other.unknown(),
            });
        }
    }
    line.finish(user)
}

/// Returns the names in the log of the units that a name or a pattern stands for.
fn of_unit(unit: &str, owner: &Owner) -> Result<Vec<String>, Problem> {
    if !is_pattern(unit) {
        return Ok(names::of_unit(unit, owner));
    }
    match names::of_owner(owner, unit) {
        names if names.is_empty() => Err(Problem::Wrong(format!(
            "-u {unit}: no unit has such a name"
        ))),
        names => Ok(names),
    }
}

/// Part of the command line that is read so far.
struct Line<'a> {
    options: Options,
    /// Units, and true for those of the user.
    units: Vec<(&'a str, bool)>,
    /// Programs.
    programs: Vec<String>,
    is_user: bool,
}

impl<'a> Line<'a> {
    /// Returns the options, with the names in the log of all units and programs.
    fn finish(mut self, user: &Owner) -> Result<Options, Problem> {
        let machine = Owner::default();
        if self.is_user && self.units.is_empty() {
            self.options.names.push(names::of_owner(user, "*"));
        } else if !self.units.is_empty() {
            let of = |(unit, is_users): &(&str, bool)| {
                let is_users = self.is_user || *is_users;
                of_unit(unit, if is_users { user } else { &machine })
            };
            let lists: Result<Vec<_>, Problem> = self.units.iter().map(of).collect();
            self.options.names.push(lists?.concat());
        }
        if !self.programs.is_empty() {
            self.options.names.push(self.programs);
        }
        Ok(self.options)
    }

    /// Reads an option that selects records; returns false for another one.
    fn select(&mut self, arg: Arg<'a>, args: &mut Args<'a>) -> Result<bool, Problem> {
        let options = &mut self.options;
        match arg {
            Arg::Short('u') | Arg::Long("unit") => self.units.push((args.value("-u")?, false)),
            Arg::Long("user-unit") => self.units.push((args.value("--user-unit")?, true)),
            Arg::Long("user") => self.is_user = true,
            Arg::Short('t') | Arg::Long("identifier") => {
                self.programs.push(args.value("-t")?.to_owned());
            }
            Arg::Short('k') | Arg::Long("dmesg") => options.names.push(vec!["kernel".to_owned()]),
            Arg::Short('p') | Arg::Long("priority") => {
                // The second level of a range is the one of less importance.
                let text = args.value("-p")?;
                options.max_level = level(text.split_once("..").map_or(text, |(_, to)| to))?;
            }
            Arg::Short('b') | Arg::Long("boot") => {
                options.boots = boots(args.optional(is_boot).unwrap_or("0"));
            }
            Arg::Short('S') | Arg::Long("since") => {
                options.since = Some(time(args.value("--since")?)?);
            }
            Arg::Short('U') | Arg::Long("until") => {
                options.until = Some(time(args.value("--until")?)?);
            }
            Arg::Long("dir") => options.dir = args.value("--dir")?.into(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads an option about how many records are shown, and how; returns false for an unknown one.
    fn shape(&mut self, arg: Arg<'a>, args: &mut Args<'a>) -> Result<bool, Problem> {
        let options = &mut self.options;
        match arg {
            Arg::Short('f') | Arg::Long("follow") => {
                options.follow = true;
                options.last = options.last.or(Some(FEW));
            }
            Arg::Short('n') | Arg::Long("lines") => {
                let number = args.optional(is_lines);
                options.last = number.map_or(Some(FEW), |n| n.parse().ok());
            }
            Arg::Short('e') => options.last = options.last.or(Some(MANY)),
            Arg::Short('r') | Arg::Long("reverse") => options.reverse = true,
            Arg::Short('o') | Arg::Long("output") => options.format = format(args.value("-o")?)?,
            Arg::Long("utc") => options.utc = true,
            Arg::Short('q' | 'x' | 'a' | 'm' | 'l') => {}
            Arg::Long(name) if IGNORED.contains(&name) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Returns the problem of a match, of which this log has no fields.
fn operand(word: &str) -> Problem {
    Problem::Wrong(format!("{word}: a unit is named by -u, a program by -t"))
}

fn is_lines(text: &str) -> bool {
    text == "all" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_boot(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    text == "all" || !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn boots(text: &str) -> Choice {
    match text {
        "all" => Choice::All,
        text => match text.strip_prefix('-').and_then(|n| n.parse().ok()) {
            Some(n) if n > 0 => Choice::Earlier(n),
            _ => Choice::This,
        },
    }
}

fn format(text: &str) -> Result<Format, Problem> {
    Ok(match text {
        "short" | "short-full" | "short-precise" | "with-unit" => Format::Short,
        "short-iso" | "short-iso-precise" => Format::ShortIso,
        "cat" => Format::Cat,
        "json" | "json-pretty" | "json-seq" => Format::Json,
        other => {
            let why = format!("-o: `{other}` is none of short short-iso cat json");
            return Err(Problem::Wrong(why));
        }
    })
}

fn time(text: &str) -> Result<i64, Problem> {
    let now = log_time::realtime_offset_us()
        .saturating_add(i64::try_from(log_time::monotonic_us()).unwrap_or(0));
    since::parse(text, now).ok_or_else(|| {
        let right = "2026-11-29 06:00, 06:00, today, -1h or 5 min ago";
        Problem::Wrong(format!("`{text}` is no time such as {right}"))
    })
}

/// Returns the user whose units `--user` names: the caller of sudo(8), or the user of this process.
pub fn user() -> Owner {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let uid = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse().ok());
    let user = uid.and_then(|uid| crate::helpers::engine::PodmanUser::with_uid(&passwd, uid));
    user.map(|user| host::owner(&user))
        .or_else(|| host::caller().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Problem> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args, &Owner::default())
    }

    #[test]
    fn what_people_type() {
        let options = read("-u web -u db.service --no-pager -n 20 -o cat -b").expect("it is known");
        assert_eq!(options.names, [["web", "db"]]);
        assert_eq!((options.last, options.format), (Some(20), Format::Cat));
        let options = read("-fu web").expect("it is known");
        assert!(options.follow && options.last == Some(10) && options.names == [["web"]]);
        let options = read("-xeu web").expect("it is known");
        assert_eq!((options.last, options.boots), (Some(1_000), Choice::This));
        assert_eq!(read("-n").map(|o| o.last), Ok(Some(10)));
        assert_eq!(read("-n all").map(|o| o.last), Ok(None));
        assert_eq!(read("-b -1 -u x").map(|o| o.boots), Ok(Choice::Earlier(1)));
        assert_eq!(read("-b0").map(|o| o.boots), Ok(Choice::This));
        assert_eq!(
            read("-k -p 3").map(|o| (o.names, o.max_level)),
            Ok((vec![vec!["kernel".to_owned()]], 3))
        );
        // As in journalctl(1), fields of different names must all match.
        let names = read("-k -u web -t a -t b -u db")
            .expect("it is known")
            .names;
        let lists: Vec<String> = names.iter().map(|list| list.join(" ")).collect();
        assert_eq!(lists, ["kernel", "web db", "a b"]);
        assert!(read("--since today -u web").is_ok_and(|o| o.since.is_some()));
        for line in [
            "-u",
            "-u none*",
            "-o export",
            "--since soon",
            "_PID=1",
            "--frob",
            "-p loud",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert_eq!(read("--help"), Err(Problem::Help));
    }
}
