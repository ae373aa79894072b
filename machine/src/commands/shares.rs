// SPDX-License-Identifier: Apache-2.0
//! `share`: folders of this host that a machine sees.

use super::create_options::add_share;
use super::{dirs, inspect_text, json_flag, set};
use crate::fault::Fault;
use crate::store::Dirs;
use crate::store::share::{self, Share};
use crate::text::tabwriter;
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Returns the parser of `share`.
pub fn command() -> Command {
    let words = |value: &'static str| {
        Arg::new("words")
            .value_name(value)
            .action(ArgAction::Append)
            .num_args(1..)
            .required(true)
    };
    let restart = Arg::new("restart")
        .long("restart")
        .action(ArgAction::SetTrue)
        .help("Restart the machine if it runs");
    let add = Command::new("add").about("Share a directory of this host from the next start on");
    let rm = Command::new("rm").about("Share a directory no longer");
    let list = Command::new("list")
        .about("List the shared directories")
        .visible_alias("ls");
    Command::new("share")
        .about("Share directories of this host with a machine")
        .subcommand_required(true)
        .subcommand(add.arg(words("[NAME] SRC[:DST][:ro]")).arg(restart.clone()))
        .subcommand(rm.arg(words("[NAME] DST")).arg(restart))
        .subcommand(list.args(super::one_name()).arg(json_flag()))
}

/// Runs `share`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    match matches.subcommand() {
        Some(("list", own)) => {
            let machine = super::machine(&dirs, own)?;
            print!(
                "{}",
                render(&machine.config()?.shares, own.get_flag("json"))
            );
            Ok(ExitCode::SUCCESS)
        }
        Some((action, own)) => change(&dirs, own, action == "add"),
        None => Err(Fault::new("Improper number of arguments").into()),
    }
}

fn change(dirs: &Dirs, matches: &ArgMatches, add: bool) -> Result<ExitCode> {
    let words: Vec<&String> = matches.get_many("words").into_iter().flatten().collect();
    let (name, text) = match words.as_slice() {
        [text] => (None, text.as_str()),
        [name, text] => (Some(name.as_str()), text.as_str()),
        _ => return Err(Fault::new("Improper number of arguments").into()),
    };
    let machine = super::named(dirs, name)?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match add {
        true => {
            let share = Share::parse(text, home.as_deref())
                .map_err(|error| Fault::new(super::text_of(&error)))?;
            set::change(dirs, &machine, |config| {
                add_share(config, share);
                Ok(())
            })?;
        }
        false => set::change(dirs, &machine, |config| {
            let before = config.shares.len();
            // A machine that an earlier version made may have slashes at the end.
            let at = share::trimmed(text);
            config
                .shares
                .retain(|share| share::trimmed(&share.target) != at);
            match config.shares.len() < before {
                true => Ok(()),
                false => Err(Fault::new(format!(
                    "Error: nothing is shared at {text}: `share list {}` shows what is",
                    machine.name
                ))
                .into()),
            }
        })?,
    }
    set::restart(dirs, &machine, matches.get_flag("restart"))
}

fn render(shares: &[Share], as_json: bool) -> String {
    if as_json {
        let object = |share: &Share| json!({"Source": share.source, "Target": share.target, "ReadOnly": share.read_only});
        return inspect_text::pretty(&shares.iter().map(object).collect::<Value>()) + "\n";
    }
    let mut text = "SOURCE\tTARGET\tACCESS\n".to_owned();
    for share in shares {
        let access = if share.read_only { "ro" } else { "rw" };
        text += &format!("{}\t{}\t{access}\n", share.source.display(), share.target);
    }
    tabwriter::align(&text, tabwriter::LS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_lists_shares_and_their_mode() {
        let shares = [Share {
            source: "/a".into(),
            target: "/b".into(),
            read_only: true,
        }];
        let text = render(&shares, false);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["SOURCE", "TARGET", "ACCESS", "/a", "/b", "ro"]);
        let json: Vec<Value> = serde_json::from_str(&render(&shares, true)).expect("JSON");
        assert_eq!(
            json[0],
            json!({"Source": "/a", "Target": "/b", "ReadOnly": true})
        );
    }
}
