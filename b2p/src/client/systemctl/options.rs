// SPDX-License-Identifier: Apache-2.0
//! Command line of systemctl(1): options before and after the verb, with their values.

/// Options with a value.
const VALUED: &[&str] = &[
    "type",
    "property",
    "state",
    "signal",
    "kill-whom",
    "kill-who",
    "lines",
    "output",
    "host",
    "machine",
    "job-mode",
    "root",
    "preset-mode",
    "message",
    "when",
    "what",
    "timestamp",
    "image",
    "image-policy",
    "capsule",
    "kill-value",
    "reboot-argument",
    "boot-loader-menu",
    "boot-loader-entry",
    "drop-in",
    "check-inhibitors",
];
/// Other options of systemctl(1), version 257, and the one of this program itself.
const FLAGS: &[&str] = &[
    "after",
    "all",
    "before",
    "dry-run",
    "fail",
    "failed",
    "firmware-setup",
    "force",
    "full",
    "global",
    "help",
    "ignore-dependencies",
    "ignore-inhibitors",
    "irreversible",
    "legend",
    "marked",
    "mkdir",
    "no-ask-password",
    "no-block",
    "no-legend",
    "no-pager",
    "no-reload",
    "no-wall",
    "no-warn",
    "now",
    "plain",
    "quiet",
    "read-only",
    "recursive",
    "reverse",
    "runtime",
    "show-transaction",
    "show-types",
    "stdin",
    "system",
    "user",
    "value",
    "verbose",
    "version",
    "wait",
    "with-dependencies",
    super::HAS_LINKS,
];
/// Short options, and the long ones that they stand for.
const SHORT: &[(char, &str)] = &[
    ('t', "type"),
    ('p', "property"),
    ('P', "only-property"),
    ('s', "signal"),
    ('n', "lines"),
    ('o', "output"),
    ('H', "host"),
    ('M', "machine"),
    ('a', "all"),
    ('q', "quiet"),
    ('f', "force"),
    ('h', "help"),
    ('r', "recursive"),
    ('l', "full"),
    ('i', "ignore-inhibitors"),
    ('T', "show-transaction"),
    ('v', "verbose"),
    ('C', "capsule"),
];

/// Options that reduce the work of a command, postpone the work, or move it elsewhere. A command that
/// ignored such an option would change this machine now.
const NOT_HERE: &[&str] = &["dry-run", "global", "host", "image", "root", "when"];

/// Command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Verb; empty if there is none.
    pub verb: String,
    /// Words after the verb.
    pub names: Vec<String>,
    flags: Vec<String>,
    values: Vec<(String, String)>,
    unknown: Option<String>,
}

impl Options {
    /// Reads a command line.
    #[must_use]
    pub fn parse(args: &[String]) -> Options {
        let mut options = Options::default();
        let mut words = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                words.extend(args.by_ref().cloned());
            } else if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                options.add(name, value, &mut args);
            } else if let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) {
                options.add_short(letters, &mut args);
            } else {
                words.push(arg.clone());
            }
        }
        let mut words = words.into_iter();
        options.verb = words.next().unwrap_or_default();
        options.names = words.collect();
        options
    }

    /// Returns the same command for other units.
    #[must_use]
    pub fn with_names(&self, names: Vec<String>) -> Options {
        Options {
            names,
            ..self.clone()
        }
    }

    fn add_short(&mut self, letters: &str, args: &mut std::slice::Iter<'_, String>) {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let row = SHORT.iter().find(|(short, _)| *short == letter);
            let Some((_, name)) = row else {
                let why = format!("invalid option -- '{letter}'");
                self.unknown.get_or_insert(why);
                continue;
            };
            if VALUED.contains(name) || *name == "only-property" {
                let value = Some(rest.as_str()).filter(|v| !v.is_empty());
                return self.add(name, value.map(str::to_owned), args);
            }
            self.flags.push((*name).to_owned());
        }
    }

    fn add(&mut self, name: &str, value: Option<String>, args: &mut std::slice::Iter<'_, String>) {
        let is_value_only = name == "only-property";
        if is_value_only {
            self.flags.push("value".to_owned());
        }
        let mut refuse = |why: &str| {
            self.unknown.get_or_insert(why.to_owned());
        };
        if is_value_only || VALUED.contains(&name) {
            let option = name;
            let name = if is_value_only { "property" } else { name };
            let value = value.or_else(|| args.next().cloned());
            if value.is_none() {
                refuse(&format!("option '--{option}' requires an argument"));
            }
            self.values
                .push((name.to_owned(), value.unwrap_or_default()));
        } else {
            if !FLAGS.contains(&name) {
                refuse(&format!("unrecognized option '--{name}'"));
            }
            let is_yes = |value: &str| ["yes", "true", "on", "1"].contains(&value);
            // `--legend=BOOL` is the one flag with a value.
            let name = match (name, value.as_deref().map(is_yes)) {
                ("legend", Some(false)) => "no-legend",
                (name, _) => name,
            };
            self.flags.push(name.to_owned());
        }
    }

    /// Returns true if the option is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// Returns the words of getopt_long(3) for the first option that systemctl(1) does not have, or that lacks its
    /// value.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Returns an option that the command must not be run without, and that has no effect here.
    #[must_use]
    pub fn not_here(&self) -> Option<&str> {
        let values = self.values.iter().map(|(name, _)| name);
        let mut given = self.flags.iter().chain(values).map(String::as_str);
        let is_elsewhere = self.value("machine").is_some_and(|machine| {
            let (user, host) = machine.split_once('@').unwrap_or(("", machine));
            !user.is_empty() && !self.has("user") || !["", ".host"].contains(&host)
        });
        given.find(|name| NOT_HERE.contains(name) || *name == "machine" && is_elsewhere)
    }

    /// Returns the last value of an option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.list(name).last().copied()
    }

    /// Returns the values of an option, which may be lists with commas.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.values.iter().filter(|(of, _)| of == name);
        values.flat_map(|(_, value)| value.split(',')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_stand_anywhere() {
        let options =
            parse("--user -t service --no-pager list-units -aq --state=running,failed web* -- -x");
        assert_eq!(options.verb, "list-units");
        assert_eq!(options.names, ["web*", "-x"]);
        assert!(
            ["user", "no-pager", "all", "quiet"]
                .iter()
                .all(|flag| options.has(flag))
        );
        assert_eq!(options.list("type"), ["service"]);
        assert_eq!(options.list("state"), ["running", "failed"]);
        let options = parse("show -pId,Names -P MainPID web --signal 9 -sHUP");
        assert_eq!(options.list("property"), ["Id", "Names", "MainPID"]);
        assert!(options.has("value"));
        assert_eq!(options.value("signal"), Some("HUP"));
        assert_eq!(parse("-t").list("type"), [""]);
        assert_eq!(parse(""), Options::default());
    }

    #[test]
    fn options_that_systemctl_does_not_have() {
        for (line, right) in [
            (
                "start web --no-such",
                Some("unrecognized option '--no-such'"),
            ),
            ("-Z start web", Some("invalid option -- 'Z'")),
            ("show -p", Some("option '--property' requires an argument")),
            (
                "show web -P",
                Some("option '--only-property' requires an argument"),
            ),
            ("list-units --legend=false --wait --show-types -lT", None),
            ("stop -- --no-such", None),
        ] {
            assert_eq!(parse(line).unknown(), right, "{line}");
        }
        assert!(parse("list-units --legend=no").has("no-legend"));
        assert!(!parse("list-units --legend=yes").has("no-legend"));
    }

    #[test]
    fn no_option_that_is_left_out_has_the_machine_end() {
        for (line, right) in [
            ("poweroff --dry-run", Some("dry-run")),
            ("reboot --when=+1h", Some("when")),
            ("--host other reboot", Some("host")),
            ("-Hother reboot", Some("host")),
            ("-M ctr stop web", Some("machine")),
            ("stop web --machine=ctr --user", Some("machine")),
            ("--machine=ann@ stop web", Some("machine")),
            ("--user --machine=ann@ctr stop web", Some("machine")),
            ("--user --machine=ann@ stop web", None),
            ("--user -M ann@.host stop web", None),
            ("-M .host stop web", None),
            ("--root=/mnt disable web", Some("root")),
            ("--image=a.raw disable web", Some("image")),
            ("--global disable web", Some("global")),
            ("--no-block --force -i poweroff", None),
        ] {
            assert_eq!(parse(line).not_here(), right, "{line}");
        }
    }
}
