// SPDX-License-Identifier: Apache-2.0
//! Command line of journalctl(1) for the machine's log.

use std::borrow::Cow;

use super::fields::Layout;
use super::matches::{self, Match, boot_id};
use super::options::{Choice, Options, level};
use super::since;
use super::style::{Format, Stamp};
use crate::common::args::{Arg, Args, Problem};
use crate::common::log::log_time;
use crate::common::pattern::is_pattern;
use crate::helpers::quadlet::host;
use crate::helpers::quadlet::names;
use crate::helpers::quadlet::specifiers::Owner;

/// Text of `journalctl --help`.
pub const USAGE: &str = "\
usage: journalctl [OPTION…] [FIELD=VALUE…]

Shows the machine's log as journalctl(1) does; `b2p log` shows the same log in its own form.

  -u, --unit UNIT          a unit and its containers, or a pattern; repeatable
      --user, --user-unit  units of the user
  -t, --identifier NAME    a program
  -k, --dmesg              the kernel
  -p, --priority LEVEL     this level and worse
  -g, --grep PATTERN       messages that match; --case-sensitive
  -f, --follow             prints new records as they are logged
  -n, --lines [N|all]      the last N lines, 10 without a number
  -e, -r                   the end; newest first
  -b, --boot [N|ID|all]    this boot; -1 is the one before, 1 the first, from the log on disk
      --list-boots         the boots of the log
      --since, --until T   times such as `2026-11-29 06:00`, `today`, `-1h`, `5 min ago`, of all boots
  -o, --output FORM        short, short-full, short-iso, short-precise, short-unix, short-monotonic, verbose,
                           export, json, json-pretty, cat
      --disk-usage --version; --rotate --flush --sync --vacuum-size= have nothing to do
      FIELD=VALUE          _SYSTEMD_UNIT, CONTAINER_NAME, SYSLOG_IDENTIFIER, _PID, _BOOT_ID, …
      --no-pager -x -a -m and others have no effect
";

/// Number of lines that `-n` alone and `-f` show.
const FEW: usize = 10;
/// Number of lines that `-e` shows.
const MANY: usize = 1_000;
/// Long options that have no effect, and take no value.
const IGNORED: &[&str] = &[
    "no-pager",
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
            format: Format::Short(Stamp::Syslog),
            of_units: true,
            ..Options::new()
        },
        units: Vec::new(),
        programs: Vec::new(),
        containers: Vec::new(),
        is_user: false,
        has_boot: false,
    };
    let mut args = Args::new(args);
    while let Some(arg) = args.next_arg()? {
        if !line.select(arg, &mut args)? && !line.shape(arg, &mut args)? {
            return Err(match arg {
                Arg::Operand(word) => match line.take(matches::parse(word)) {
                    Ok(()) => continue,
                    Err(problem) => problem,
                },
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
        // The machine's own services and programs have no units.
        mut names if owner.uid == 0 => {
            names.push(unit.strip_suffix(".service").unwrap_or(unit).to_owned());
            Ok(names)
        }
        names if names.is_empty() => Err(Problem::Wrong(format!(
            "-u {unit}: no unit has such a name"
        ))),
        names => Ok(names),
    }
}

/// Adds the containers of users that have these names: their tags begin with the user's number.
fn of_all_users(mut names: Vec<String>) -> Vec<String> {
    let of_users: Vec<String> = names.iter().map(|n| format!("[0-9]*/{n}")).collect();
    names.extend(of_users);
    names
}

/// Part of the command line that is read so far.
struct Line<'a> {
    options: Options,
    /// Units, and true for those of the user.
    units: Vec<(Cow<'a, str>, bool)>,
    /// Programs.
    programs: Vec<String>,
    /// Containers.
    containers: Vec<String>,
    is_user: bool,
    has_boot: bool,
}

impl<'a> Line<'a> {
    /// Returns the options, with the names in the log of all units and programs.
    fn finish(mut self, user: &Owner) -> Result<Options, Problem> {
        let machine = Owner::default();
        if self.is_user && self.units.is_empty() {
            self.options.names.push(names::of_owner(user, "*"));
        } else if !self.units.is_empty() {
            let of = |(unit, is_users): &(Cow<'_, str>, bool)| {
                let is_users = self.is_user || *is_users;
                of_unit(unit, if is_users { user } else { &machine })
            };
            let lists: Result<Vec<_>, Problem> = self.units.iter().map(of).collect();
            self.options.names.push(lists?.concat());
        }
        let units = self.programs.iter();
        let units: Vec<String> = units.flat_map(|t| names::of_identifier(t)).collect();
        self.programs.extend(units);
        let lists = [self.programs, self.containers].map(of_all_users);
        let lists = lists.into_iter().filter(|list| !list.is_empty());
        self.options.names.extend(lists);
        // A time may be one of an earlier boot.
        let has_time = self.options.since.or(self.options.until).is_some();
        if has_time && !self.has_boot {
            self.options.boots = Choice::All;
        }
        Ok(self.options)
    }

    fn take(&mut self, found: Result<Match, Problem>) -> Result<(), Problem> {
        match found? {
            Match::Unit(name, is_users) => self.units.push((name.into(), is_users)),
            Match::Container(name) => self.containers.push(name),
            Match::Program(name) => self.programs.push(name),
            Match::Pid(pid) => self.options.pids.push(pid),
            Match::Boot(choice) => (self.options.boots, self.has_boot) = (choice, true),
        }
        Ok(())
    }

    /// Reads an option that selects records; returns false for another one.
    fn select(&mut self, arg: Arg<'a>, args: &mut Args<'a>) -> Result<bool, Problem> {
        let options = &mut self.options;
        match arg {
            Arg::Short('u') | Arg::Long("unit") => {
                self.units.push((args.value("-u")?.into(), false));
            }
            Arg::Long("user-unit") => {
                self.units.push((args.value("--user-unit")?.into(), true));
            }
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
                self.has_boot = true;
            }
            Arg::Short('S') | Arg::Long("since") => {
                options.since = Some(time(args.value("--since")?)?);
            }
            Arg::Short('U') | Arg::Long("until") => {
                options.until = Some(time(args.value("--until")?)?);
            }
            _ => return self.search(arg, args),
        }
        Ok(true)
    }

    /// Reads an option about the text of records and the files; returns false for another one.
    fn search(&mut self, arg: Arg<'a>, args: &mut Args<'a>) -> Result<bool, Problem> {
        let options = &mut self.options;
        match arg {
            Arg::Short('g') | Arg::Long("grep") => {
                let is_exact = options.grep.take().and_then(|(_, is_exact)| is_exact);
                options.grep = Some((args.value("-g")?.to_owned(), is_exact));
            }
            Arg::Long("case-sensitive") => {
                let is_exact = args.optional(is_bool).is_none_or(is_true);
                let pattern = options.grep.take().map(|(pattern, _)| pattern);
                options.grep = Some((pattern.unwrap_or_default(), Some(is_exact)));
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
            Arg::Long("list-boots") => options.list_boots = true,
            Arg::Short('q') | Arg::Long("quiet") => options.quiet = true,
            Arg::Short('x' | 'a' | 'm' | 'l') => {}
            Arg::Long(name) if IGNORED.contains(&name) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Values of a yes (systemd(1), "boolean").
const YES: &[&str] = &["yes", "true", "on", "1"];

fn is_true(value: &str) -> bool {
    YES.contains(&value)
}

fn is_bool(value: &str) -> bool {
    is_true(value) || ["no", "false", "off", "0"].contains(&value)
}

fn is_lines(text: &str) -> bool {
    text == "all" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_boot(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text == "all" || is_number || boot_id(text).is_some()
}

/// Returns the boots that a text names, which [`is_boot`] has accepted.
fn boots(text: &str) -> Choice {
    if let Some(id) = boot_id(text) {
        return Choice::Id(id);
    }
    let number = |text: &str| text.parse().unwrap_or(usize::MAX);
    match text.strip_prefix('-') {
        _ if text == "all" => Choice::All,
        Some(n) if number(n) > 0 => Choice::Earlier(number(n)),
        None if number(text) > 0 => Choice::Nth(number(text)),
        _ => Choice::This,
    }
}

fn format(text: &str) -> Result<Format, Problem> {
    Ok(match text {
        "short" => Format::Short(Stamp::Syslog),
        "short-precise" => Format::Short(Stamp::Precise),
        "short-full" | "with-unit" => Format::Short(Stamp::Full),
        "short-iso" | "short-iso-precise" => Format::Short(Stamp::Iso),
        "short-unix" => Format::Short(Stamp::Unix),
        "short-monotonic" | "short-delta" => Format::Short(Stamp::Monotonic),
        "cat" => Format::Cat,
        "json" | "json-seq" | "json-sse" => Format::Fields(Layout::Json),
        "json-pretty" => Format::Fields(Layout::JsonPretty),
        "verbose" => Format::Fields(Layout::Verbose),
        "export" => Format::Fields(Layout::Export),
        other => {
            let why = format!("-o: `{other}` is none of the forms that --help lists");
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
mod tests;
