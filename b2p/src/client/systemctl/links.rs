// SPDX-License-Identifier: Apache-2.0
//! `systemctl enable`, `disable`, `mask` and `unmask`: links of unit files, which are made with the rights of their owner.

use control::Report;
use sys::error::Error;

use super::change::Targets;
use super::options::Options;
use super::{HAS_LINKS, enable, mask, reload, units, with_report};
use crate::common::control_client::ControlClient;
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::quadlet::host;
use crate::helpers::quadlet::specifiers::Owner;

/// Makes or removes the links of a user's unit files with the rights of that user; `None` if there is more to
/// do.
pub fn link_as_user(options: &Options, uid: u32) -> Option<i32> {
    if uid == 0 || !is_link(&options.verb) || !options.has("user") {
        return None;
    }
    let owner = host::caller().ok()?;
    let status = link(&owner, options, |_| None);
    (status != 0).then_some(status)
}

/// Returns true for a verb about links.
pub fn is_link(verb: &str) -> bool {
    ["enable", "disable", "reenable", "mask", "unmask"].contains(&verb)
}

/// Enables or disables units, reads the files again, and starts or stops them with `--now`.
pub fn change(control: &ControlClient, targets: &Targets<'_>) -> i32 {
    let options = targets.options;
    let is_enable = ["enable", "reenable"].contains(&options.verb.as_str());
    let status = with_report(control, |report| enable_links(report, targets));
    if status != 0 {
        return status;
    }
    let reloaded = reload(targets.env);
    if reloaded != 0 || !options.has("now") {
        return reloaded;
    }
    with_report(control, |report| match is_enable {
        true => targets.start(report),
        false if options.verb == "disable" => targets.stop(report),
        // The unit has no service any more.
        false => 0,
    })
}

/// Makes or removes the links of units. The links of a user are made with the rights of the user, before this
/// program runs as root.
fn enable_links(report: &Report<'_>, targets: &Targets<'_>) -> i32 {
    let Targets { owner, options, .. } = targets;
    let refusal = |word: &str| {
        let view = units::find(report, owner, word);
        enable::refusal(&view, &options.verb)
    };
    match owner.uid {
        0 => link(owner, options, refusal),
        _ if !options.has(HAS_LINKS) => {
            let (verb, name) = (&options.verb, &owner.name);
            print_error(&format!(
                "systemctl: --user {verb}: run it as {name}, without sudo"
            ));
            1
        }
        _ => {
            let is_mask = ["mask", "unmask"].contains(&options.verb.as_str());
            let mut words = options.names.iter().filter(|_| !is_mask);
            let none = words.find(|word| !enable::is_file(owner, word));
            none.and_then(|word| refusal(word)).map_or(0, |why| {
                print_error(&why.to_string());
                1
            })
        }
    }
}

/// Makes or removes links; `otherwise` returns the refusal of a word that is no file.
fn link(owner: &Owner, options: &Options, otherwise: impl Fn(&str) -> Option<Error>) -> i32 {
    let mut status = 0;
    for word in &options.names {
        let done = match options.verb.as_str() {
            "disable" => enable::disable(owner, word),
            "mask" => match otherwise(word) {
                Some(why) => Err(why),
                None => mask::mask(owner, word, options.has("runtime")),
            },
            "unmask" => mask::unmask(owner, word),
            _ => enable::enable(owner, word),
        };
        let why = match done {
            Ok(true) => None,
            Ok(false) => otherwise(word),
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            print_error(&why.to_string());
            status = 1;
        }
    }
    status
}
