// SPDX-License-Identifier: Apache-2.0
//! `systemctl list-units`, `list-unit-files` and `list-dependencies`.

use std::collections::BTreeSet;

use control::Report;

use super::enable;
use super::not_loaded;
use super::options::Options;
use super::units::{self, View};
use crate::common::pattern::{is_pattern, matches};
use crate::common::terminal::print_plain as print;
use crate::helpers::quadlet::convert::BOOT_TARGETS;
use crate::helpers::quadlet::specifiers::Owner;

/// Runs `list-units`: prints a line for each unit that is not inactive, or with `--all` for each unit.
pub fn units(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let views = units::all(report, owner);
    let wanted_states = options.list("state");
    let is_shown = |view: &&View<'_>| {
        let (active, sub) = view.states();
        let has_state =
            |states: &[&str]| states.iter().any(|s| [active, sub, "loaded"].contains(s));
        is_wanted(view, options)
            && match wanted_states.as_slice() {
                [] if options.has("failed")
                    || options.names.first().is_some_and(|n| n == "--failed") =>
                {
                    active == "failed"
                }
                [] => options.has("all") || active != "inactive",
                states => has_state(states),
            }
    };
    let rows: Vec<[String; 5]> = views.iter().filter(is_shown).map(row).collect();
    let titles = ["UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"];
    print(&table(titles, &rows, options, |row| {
        match row[2].as_str() {
            "failed" => "\u{25cf} ",
            _ => "  ",
        }
    }));
    if !options.has("no-legend") && !options.has("legend") {
        print(&format!("\n{} loaded units listed.\n", rows.len()));
    }
    0
}

fn row(view: &View<'_>) -> [String; 5] {
    let (active, sub) = view.states();
    let description = view.description();
    [view.name.as_str(), "loaded", active, sub, description].map(str::to_owned)
}

/// Returns true for a unit of the requested types and patterns.
fn is_wanted(view: &View<'_>, options: &Options) -> bool {
    let types = options.list("type");
    let suffix = view.name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let patterns = &options.names;
    let is_named =
        |pattern: &String| matches(pattern, &view.name) || units::full_name(pattern) == view.name;
    (types.is_empty() || types.contains(&suffix))
        && (patterns.is_empty() || patterns.iter().any(is_named))
}

/// Runs `list-unit-files`: prints a line for each unit with the state of its file.
pub fn unit_files(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let views = units::all(report, owner);
    let states = options.list("state");
    let row = |view: &View<'_>| {
        let word = enable::word(view);
        let is_wanted = is_wanted(view, options) && (states.is_empty() || states.contains(&word));
        is_wanted.then(|| [view.name.clone(), word.to_owned(), "-".to_owned()])
    };
    let others = not_loaded::all(owner).into_iter();
    let others = others.map(|name| units::find(report, owner, &name));
    let others: Vec<View<'_>> = others.filter(|view| view.not_loaded.is_some()).collect();
    let rows: Vec<[String; 3]> = views.iter().chain(&others).filter_map(row).collect();
    let titles = ["UNIT FILE", "STATE", "PRESET"];
    print(&table(titles, &rows, options, |_| ""));
    if !options.has("no-legend") {
        print(&format!("\n{} unit files listed.\n", rows.len()));
    }
    i32::from(rows.is_empty() && !options.names.is_empty())
}

/// Returns a table in which all columns except the last are padded.
pub fn table<const N: usize>(
    titles: [&str; N],
    rows: &[[String; N]],
    options: &Options,
    mark: impl Fn(&[String; N]) -> &'static str,
) -> String {
    let titles = titles.map(str::to_owned);
    let has_titles = !options.has("no-legend");
    let shown = rows.iter().chain(has_titles.then_some(&titles));
    let mut widths = [0; N];
    for row in shown {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |mark: &str, row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let mark = if options.has("plain") { "" } else { mark };
        format!("{mark}{}\n", cells.join(" ").trim_end())
    };
    let head = has_titles.then(|| line(if mark(&titles).is_empty() { "" } else { "  " }, &titles));
    let lines = rows.iter().map(|row| line(mark(row), row));
    head.into_iter().chain(lines).collect()
}

/// Runs `list-dependencies`: the units that a unit needs and wants, as a tree; with `--reverse` the units that
/// need or want that unit.
pub fn dependencies(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let all = units::all(report, owner);
    let default = [DEFAULT_TARGET.to_owned()];
    let names: &[String] = match options.names.as_slice() {
        [] => &default,
        names => names,
    };
    for name in names {
        let view = units::find(report, owner, name);
        print(&format!("{}\n", view.name));
        let mut seen = BTreeSet::new();
        let tree = Tree { all: &all, options };
        print(&tree.below(&view.name, "", &mut seen));
    }
    0
}

/// Target that the boot reaches (systemd.special(7)).
const DEFAULT_TARGET: &str = "default.target";

/// Returns true for a unit that the boot starts because a target wants the unit.
fn is_at_boot(view: &View<'_>) -> bool {
    let is_boot = |target: &str| BOOT_TARGETS.contains(&target);
    let wants = |key| {
        let unit = view.unit.as_ref();
        unit.is_some_and(|unit| unit.names("Install", key).any(is_boot))
    };
    match enable::word(view) {
        "generated" => wants("WantedBy") || wants("RequiredBy"),
        word => ["enabled", "enabled-runtime"].contains(&word),
    }
}

struct Tree<'a, 'r> {
    all: &'a [View<'r>],
    options: &'a Options,
}

impl Tree<'_, '_> {
    /// Returns the lines below a unit, each of which occurs once.
    fn below(&self, name: &str, indent: &str, seen: &mut BTreeSet<String>) -> String {
        let children = self.children(name);
        let mut out = String::new();
        for (n, child) in children.iter().enumerate() {
            let is_last = n + 1 == children.len();
            let is_active = |v: &&View<'_>| v.name == *child && v.states().0 == "active";
            let mark = match self.all.iter().any(|v| is_active(&v)) {
                true => "\u{25cf}",
                false => "\u{25cb}",
            };
            let (branch, next) = match is_last {
                true => ("\u{2514}\u{2500}", "  "),
                false => ("\u{251c}\u{2500}", "\u{2502} "),
            };
            out.push_str(&match self.options.has("plain") {
                true => format!("  {}{child}\n", " ".repeat(indent.chars().count())),
                false => format!("{mark} {indent}{branch}{child}\n"),
            });
            if seen.insert(child.clone()) {
                out.push_str(&self.below(child, &format!("{indent}{next}"), seen));
            }
        }
        out
    }

    fn children(&self, name: &str) -> Vec<String> {
        if BOOT_TARGETS.contains(&name) && !self.options.has("reverse") {
            let at_boot = self.all.iter().filter(|view| is_at_boot(view));
            return at_boot.map(|view| view.name.clone()).collect();
        }
        let linked = |view: &View<'_>| {
            let links = view
                .service
                .map(|s| units::links_of(s.name))
                .unwrap_or_default();
            [links.needs, links.wants].concat()
        };
        let service = |view: &View<'_>| view.service.map(|s| s.name.to_owned());
        let own = self.all.iter().find(|view| view.name == name);
        let named = |services: &[String]| {
            let is_in = |view: &&View<'_>| service(view).is_some_and(|s| services.contains(&s));
            self.all
                .iter()
                .filter(is_in)
                .map(|v| v.name.clone())
                .collect()
        };
        match self.options.has("reverse") {
            false => own.map_or(Vec::new(), |own| named(&linked(own))),
            true => {
                let own = own.and_then(service);
                let names =
                    |view: &&View<'_>| own.as_ref().is_some_and(|own| linked(view).contains(own));
                self.all
                    .iter()
                    .filter(names)
                    .map(|v| v.name.clone())
                    .collect()
            }
        }
    }
}

/// Runs `list-jobs`.
pub fn jobs() -> i32 {
    print("No jobs running.\n");
    0
}

/// Returns the names of units that words stand for, which may be patterns.
pub fn expanded(report: &Report<'_>, owner: &Owner, words: &[String]) -> Vec<String> {
    let all = units::all(report, owner);
    let expand = |word: &String| match is_pattern(word) {
        false => vec![word.clone()],
        true => {
            let named = all.iter().filter(|view| matches(word, &view.name));
            named.map(|view| view.name.clone()).collect()
        }
    };
    let mut names: Vec<String> = Vec::new();
    for name in words.iter().flat_map(expand) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
