// SPDX-License-Identifier: Apache-2.0
//! Measures `b2p unit-run` against the test cases of podman's own generator:
//!
//! ```text
//! quadlet_corpus PODMAN/test/e2e TABLE -- GENERATOR [ARGUMENT...]
//! ```
//!
//! A case is a quadlet file whose comments are expectations about the generator's output. Here the
//! expectations are checked against the program that `b2p unit-run` would run: its words, after quotes and
//! specifiers. The table has a line for each case: name, outcome (`runs`, `refused` by the generator, or
//! the reason why the case does not run), the number of expectations that hold, and of all expectations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use b2p::helpers::quadlet::convert::Definition;
use b2p::helpers::quadlet::lifecycle::Stage;
use b2p::helpers::quadlet::program::Program;
use b2p::helpers::quadlet::specifiers::{Owner, Specifiers};
use b2p::helpers::quadlet::unit::{Unit, split_output};
use b2p::helpers::quadlet::words;

/// Directory of a case; parts of the path are in the expectations.
const PLACE: &str = "podman-e2e-1/subtest-1/quadlet";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [corpus, table, dashes, generator @ ..] = args.as_slice() else {
        eprintln!("quadlet_corpus PODMAN/test/e2e TABLE -- GENERATOR [ARGUMENT...]");
        return ExitCode::from(2);
    };
    if dashes != "--" || generator.is_empty() {
        return ExitCode::from(2);
    }
    let corpus = Path::new(corpus);
    let source = fs::read_to_string(corpus.join("quadlet_test.go")).unwrap_or_default();
    let mut lines = Vec::new();
    let (mut held, mut all, mut whole) = (0, 0, 0);
    let cases = cases(&corpus.join("quadlet"));
    for case in &cases {
        let outcome = compare(corpus, case, &needs(&source, case), generator);
        held += outcome.held;
        all += outcome.all;
        whole += usize::from(outcome.held == outcome.all);
        let Outcome {
            word, held, all, ..
        } = &outcome;
        lines.push(format!("{case}\t{word}\t{held}/{all}\n"));
        outcome
            .missing
            .iter()
            .for_each(|line| println!("{case}: {line}"));
    }
    println!(
        "{whole} of {} cases, {held} of {all} expectations",
        cases.len()
    );
    match fs::write(table, lines.concat()) {
        Ok(()) => ExitCode::from(u8::from(held < all)),
        Err(why) => {
            eprintln!("{table}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Result of a case.
#[derive(Default)]
struct Outcome {
    word: String,
    held: usize,
    all: usize,
    missing: Vec<String>,
}

/// Returns the names of the files that are cases, sorted.
fn cases(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// Returns the further files of a case, from the table of podman's test program.
fn needs(source: &str, case: &str) -> Vec<String> {
    let line = source
        .lines()
        .find(|line| line.contains(&format!("\"{case}\"")) && line.contains("[]string{"));
    let list = line.and_then(|line| line.split_once("[]string{"));
    let names = list.map_or("", |(_, list)| list.split('}').next().unwrap_or_default());
    let names = names.split(',').map(|name| name.trim().trim_matches('"'));
    names.filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// Copies a case and the files that it needs into a directory of its own, and returns the
/// directory.
fn copied(corpus: &Path, case: &str, needs: &[String]) -> PathBuf {
    let dir = std::env::temp_dir().join(PLACE);
    let _ = fs::remove_dir_all(&dir);
    let _ = fs::create_dir_all(&dir);
    for name in needs.iter().map(String::as_str).chain([case]) {
        let from = corpus.join("quadlet").join(name);
        let _ = fs::copy(&from, dir.join(name));
        copy_drop_ins(&from, &dir, name);
    }
    if let Some((prefix, rest)) = case.split_once('@')
        && let Some((_, kind)) = rest.split_once('.')
    {
        let template = format!("{prefix}@.{kind}");
        copy_drop_ins(&corpus.join("quadlet").join(&template), &dir, &template);
    }
    dir
}

fn compare(corpus: &Path, case: &str, needs: &[String], generator: &[String]) -> Outcome {
    let dir = copied(corpus, case, needs);
    let (units, messages) = generate(&dir, generator);
    let text = fs::read_to_string(dir.join(case)).unwrap_or_default();
    let comments = text.lines().filter_map(|line| line.strip_prefix("## "));
    let expectations: Vec<&str> = comments.filter(|l| l.starts_with("assert-")).collect();
    let is_refused = expectations
        .iter()
        .any(|line| line.starts_with("assert-failed"));
    let source = format!("{}", dir.join(case).display());
    let unit = split_output(&units)
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Unit::parse(text)))
        .find(|(_, unit)| unit.last("Unit", "SourcePath") == Some(&source));
    let subject = unit.map(|(name, unit)| Subject::new(name, unit));
    let mut outcome = Outcome {
        all: expectations.len(),
        word: verdict(subject.as_ref()),
        ..Outcome::default()
    };
    for line in expectations {
        let words = words::split(line).unwrap_or_default();
        let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
        let holds = match (words.first().map(String::as_str), &subject) {
            (Some("assert-failed"), subject) => subject.is_none(),
            (Some("assert-stderr-contains"), _) => messages.contains(&words[1]),
            (_, Some(subject)) => subject.holds(&words, line),
            (_, None) => is_refused,
        };
        outcome.held += usize::from(holds);
        if !holds {
            outcome.missing.push(line.to_owned());
        }
    }
    outcome
}

/// Returns the outcome of a unit: the unit runs, or the reason why not; without a unit, the
/// generator has refused the quadlet.
fn verdict(subject: Option<&Subject>) -> String {
    let Some(subject) = subject else {
        return "refused".to_owned();
    };
    match Definition::of(&subject.unit, &subject.specifiers) {
        Ok(_) => "runs".to_owned(),
        Err(why) => why.to_string(),
    }
}

fn copy_drop_ins(from: &Path, dir: &Path, name: &str) {
    let drop_ins = PathBuf::from(format!("{}.d", from.display()));
    for entry in fs::read_dir(drop_ins).into_iter().flatten().flatten() {
        let to = dir.join(format!("{name}.d"));
        let _ = fs::create_dir_all(&to);
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
}

fn generate(dir: &Path, generator: &[String]) -> (String, String) {
    let mut command = Command::new(&generator[0]);
    command.args(&generator[1..]).arg("--dryrun");
    let output = command.env("QUADLET_UNIT_DIRS", dir).output();
    output.map_or_else(
        |why| (String::new(), why.to_string()),
        |output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&output.stdout), text(&output.stderr))
        },
    )
}

/// A unit, and the program that would run.
struct Subject {
    unit: Unit,
    specifiers: Specifiers,
    program: Option<Program>,
}

impl Subject {
    fn new(name: String, unit: Unit) -> Subject {
        let specifiers = Specifiers {
            unit: name.replace("@.", "@x."),
            user: Owner {
                home: "/root".to_owned(),
                name: "root".to_owned(),
                ..Owner::default()
            },
            ..Specifiers::default()
        };
        Subject {
            program: Program::of(&unit, &specifiers).ok(),
            unit,
            specifiers,
        }
    }

    fn expanded(&self, word: &str) -> String {
        self.specifiers
            .expand(word)
            .unwrap_or_else(|_| word.to_owned())
    }

    /// Returns the words of the last command of a kind.
    fn words(&self, stage: Stage) -> Vec<String> {
        let commands = self.program.as_ref().map(|p| p.commands.of(stage));
        let last = commands.and_then(|commands| commands.last());
        last.map(|command| command.argv.clone()).unwrap_or_default()
    }

    fn holds(&self, words: &[String], line: &str) -> bool {
        let (verb, args) = words
            .split_first()
            .map_or(("", &[][..]), |(v, a)| (v.as_str(), a));
        let verb = verb.strip_prefix("assert-").unwrap_or_default();
        if let Some(verb) = verb.strip_prefix("podman-") {
            return self.holds_of_command(verb, args);
        }
        // The keys of [Install] decide the links to units.
        if verb == "symlink" {
            let words = [".wants/", ".requires/", ".service"];
            return words.iter().any(|word| line.contains(word));
        }
        let [section, key, wanted @ ..] = args else {
            return false;
        };
        let values = self.unit.all(section, key);
        let contains = |value: &&str| wanted.iter().all(|w| value.contains(w));
        match verb {
            "key-is" => values == wanted,
            "key-is-empty" => values.is_empty(),
            "key-is-regex" => {
                let mut pairs = values.iter().zip(wanted);
                values.len() == wanted.len() && pairs.all(|(value, wanted)| fits(wanted, value))
            }
            "last-key-is-regex" => {
                let last = self.unit.last(section, key).unwrap_or_default();
                wanted.first().is_some_and(|pattern| fits(pattern, last))
            }
            "key-contains" => values.iter().any(contains),
            "key-not-contains" => !values.iter().any(contains),
            _ => false,
        }
    }

    fn holds_of_command(&self, verb: &str, args: &[String]) -> bool {
        let (stage, verb) = STAGES
            .iter()
            .find_map(|(prefix, stage)| Some((*stage, verb.strip_prefix(prefix)?)))
            .unwrap_or((Stage::Start, verb));
        let argv = self.words(stage);
        let is_pattern = verb.ends_with("-regex");
        let same = |wanted: &String, word: &String| match is_pattern {
            true => fits(wanted, word) || fits(&self.expanded(wanted), word),
            false => wanted == word || self.expanded(wanted) == *word,
        };
        let contains = |argv: &[String], wanted: &[String]| {
            let mut places = argv.windows(wanted.len().max(1));
            places.any(|place| place.iter().zip(wanted).all(|(w, wanted)| same(wanted, w)))
        };
        match verb.trim_end_matches("-regex") {
            "args" => contains(&argv, args),
            "global-args" => {
                let at = argv.iter().position(|word| Some(word) == args.first());
                at.is_some_and(|at| contains(&argv[..at], &args[1..]))
            }
            "final-args" => {
                let begin = argv.len().saturating_sub(args.len());
                contains(&argv[begin..], args)
            }
            "args-key-val" => {
                let [option, separator, wanted] = args else {
                    return false;
                };
                let mut pairs = argv.windows(2).filter(|pair| pair[0] == *option);
                pairs.any(|pair| {
                    let (given, wanted) = (parts(&pair[1], separator), parts(wanted, separator));
                    given.len() == wanted.len()
                        && wanted.iter().all(|w| given.iter().any(|g| same(w, g)))
                })
            }
            _ => false,
        }
    }
}

/// Prefixes of assertions about commands of other stages than the start.
const STAGES: [(&str, Stage); 3] = [
    ("pre-", Stage::Pre),
    ("stop-post-", Stage::StopPost),
    ("stop-", Stage::Stop),
];

/// Splits fields, of which a quoted one may hold the separator.
fn parts(text: &str, separator: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if !is_quoted && separator.contains(c) => parts.push(String::new()),
            c => parts.last_mut().map_or((), |last| last.push(c)),
        }
    }
    parts
}

/// Returns true if a text has a part that fits a pattern with `.*`, `|`, `^` and `$`.
fn fits(pattern: &str, text: &str) -> bool {
    if pattern == "^$" {
        return text.is_empty();
    }
    let pattern = pattern.replace("[/S]", ".*");
    pattern.split('|').any(|pattern| {
        let mut rest = text;
        pattern.split(".*").all(|piece| match rest.find(piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    })
}
