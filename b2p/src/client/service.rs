// SPDX-License-Identifier: Apache-2.0
//! `b2p start`, `stop` and `restart`, which change services, and `b2p load`, by which PID 1 reads files of user
//! services.

use config::canonical_service_name;
use control::Name;

use crate::common::service_change::{Verb, change_all};
use crate::common::service_env::Environment;
use crate::common::service_loading::load_and_report;
use crate::common::terminal::{print, print_error};

/// Runs `b2p start|stop|restart NAME…` and returns the exit status.
pub fn main(env: &Environment, verb: Verb, args: &[String]) -> i32 {
    let Some(names) = parse_names(args) else {
        return 2;
    };
    let mut status = 0;
    for (name, result) in change_all(|_| env.clone(), verb, names) {
        match result {
            Ok(outcome) => print(&format!("{name}: {outcome}\n")),
            Err(error) => {
                print_error(&format!("b2p: {error}"));
                status = 1;
            }
        }
    }
    status
}

/// Returns the names in `args`, or `None` after a message if there is none or one is not valid.
fn parse_names(args: &[String]) -> Option<Vec<Name>> {
    if args.is_empty() {
        print_error("b2p: which service? `b2p status` lists them");
        return None;
    }
    let name = |arg: &String| {
        let name = Name::new(arg).or_else(|| Name::new(&canonical_service_name(arg)));
        if name.is_none() {
            print_error(&format!(
                "b2p: {arg}: not a name: a-z, digits and -, at most 64"
            ));
        }
        name
    };
    args.iter().map(name).collect()
}

/// Runs `b2p load NAME…` and returns the exit status.
pub fn load_main(env: &Environment, args: &[String]) -> i32 {
    let Some(names) = parse_names(args) else {
        return 2;
    };
    let load = |name: &Name| load_and_report(env, name);
    names.iter().map(load).max().unwrap_or(0)
}
