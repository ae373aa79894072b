// SPDX-License-Identifier: Apache-2.0
//! `b2p ext`: extensions, read-only images with more programs, which become part of the root
//! (docs/guide/extensions.md). PID 1 runs `b2p ext boot` where a flag asks for extensions; users
//! run `b2p ext add`.
//!
//! An image is an erofs, mounted from where it lies, and its files are linked into the root
//! ([`links`]). It is taken only with its manifest: an image that was made for another machine,
//! was changed, or has files that no extension may have ([`vet`]) is refused before anything of it is in the
//! root. An extension that was asked for at boot and is not there becomes a degraded line.

mod add;
mod added;
mod addition;
mod emulators;
mod engine_uses;
mod extension_services;
mod fetch;
mod find;
mod image;
mod keep;
mod kernel_modules;
mod links;
mod list;
mod lock;
pub mod manifest;
mod pace;
mod places;
mod places_of_needs;
mod plan;
mod record;
mod remove;
mod request;
mod resolve;
mod room;
mod runtime;
mod source;
mod tree;
mod uses;
mod vet;
mod wget;

use log::info;
use sys::error::Result;

use crate::common::audit;
use crate::common::control_client::ControlClient;
use crate::common::degraded::Degraded;
use crate::common::service_env::Environment;
use crate::common::terminal::{print_error, print_plain, print_plain_error};
use find::Wait;
use request::Request;

/// Right arguments.
const USAGE: &str = "b2p ext: list [--json], info NAME [--json], add [--keep] [--sha256 SUM] and the names, \
    files or addresses of extensions, or remove [--disk] and names";

/// `b2p ext [list|info|add|remove|boot]`.
pub fn main(control: &ControlClient, args: &[String]) -> i32 {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let env = Environment::of(control);
    match args.as_slice() {
        [] | ["list"] => list::main(false),
        ["--json"] | ["list", "--json"] => list::main(true),
        ["info", name] if !name.starts_with('-') => list::info(name, false),
        ["info", "--json", name] | ["info", name, "--json"] => list::info(name, true),
        ["add", words @ ..] => match Request::parse(words) {
            Some(request) => each(&request.names, "add", |name| {
                addition::add_one(&env, &request, name)
            }),
            None => usage(),
        },
        ["remove", words @ ..] => remove_each(&env, words),
        ["boot"] => boot(&env),
        _ => usage(),
    }
}

/// Removes the extensions that are named, those that need others first; with `--disk` from the data disk as well.
fn remove_each(env: &Environment, words: &[&str]) -> i32 {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('-'));
    match flags.as_slice() {
        _ if names.is_empty() => usage(),
        [] => each(
            &plan::removal(&names, &added::values("needs")),
            "remove",
            |name| remove::remove(env, name).map(|()| "removed".to_owned()),
        ),
        ["--disk"] => each(
            &plan::removal(&names, &remove::needs_on_disk()),
            "remove",
            |name| remove::remove_from_disk(env, name),
        ),
        _ => usage(),
    }
}

fn usage() -> i32 {
    print_error(USAGE);
    2
}

/// Runs `act` for each name, and prints and audits the results; returns 0 if all are good.
fn each(names: &[&str], verb: &str, act: impl Fn(&str) -> Result<String>) -> i32 {
    let mut status = 0;
    for word in names {
        let name = fetch::shown(word);
        match act(word) {
            Ok(summary) => {
                audit::record(&format!("ext {verb} {name}: {summary}"));
                print_plain(&format!("{name}: {summary}\n"));
            }
            Err(why) => {
                print_plain_error(&format!("b2p ext: {name}: {why}"));
                status = 1;
            }
        }
    }
    find::release_medium();
    status
}

/// Adds the extensions of the flags. One that cannot be added does not fail the helper.
fn boot(env: &Environment) -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    // PID 1 has reported the faults of the flags.
    let (config, _) = sys::config_sources::read();
    let wait = Wait::ForMedium {
        seconds: config.waitusb.as_ref().map_or(0, |w| w.seconds),
    };
    let mut degraded = Degraded::of("ext");
    addition::sweep().unwrap_or_else(|why| degraded.warn(why));
    for name in &config.extensions {
        match addition::add_at_boot(env, name, wait) {
            Ok(summary) => info!("ext: {name}: {summary}"),
            Err(why) => degraded.warn(format_args!("{name}: {why}")),
        }
    }
    find::release_medium();
    if let Some(Err(why)) = config.runtime.as_deref().map(runtime::apply) {
        degraded.warn(why);
    }
    degraded.report()
}
