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
mod emulators;
mod extension_services;
mod fetch;
mod find;
mod image;
mod keep;
mod kernel_modules;
mod links;
mod list;
pub mod manifest;
mod places;
mod plan;
mod record;
mod remove;
mod resolve;
mod runtime;
mod tree;
mod uses;
mod vet;

use std::path::Path;

use log::info;
use sys::error::{Doing, Error, Result};

use crate::common::audit;
use crate::common::control_client::ControlClient;
use crate::common::degraded::Degraded;
use crate::common::service_env::Environment;
use crate::common::terminal::{print, print_error};
use fetch::Address;
use find::{Files, ON_DISK, Wait};
use manifest::Manifest;

/// Directory of images that were fetched and are not kept, in memory.
const RAM: &str = "/run/boot2podman/ext/.fetched";
/// Right arguments.
const USAGE: &str = "b2p ext: list [--json], info NAME [--json], add [--keep] [--sha256 SUM] and the names, \
    files or addresses of extensions, or remove and names";

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
            Some(request) => each(&request.names, "add", |name| add_one(&env, &request, name)),
            None => usage(),
        },
        ["remove", names @ ..] if !names.is_empty() => each(names, "remove", |name| {
            remove::remove(&env, name).map(|()| "removed".to_owned())
        }),
        ["boot"] => boot(&env),
        _ => usage(),
    }
}

fn usage() -> i32 {
    print_error(USAGE);
    2
}

/// Arguments of `b2p ext add`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request<'a> {
    names: Vec<&'a str>,
    keep: bool,
    sha256: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Parses the arguments; `None` if they are wrong. A sum is that of one address.
    fn parse(words: &[&'a str]) -> Option<Request<'a>> {
        let mut request = Request::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--keep" => request.keep = true,
                "--sha256" => request.sha256 = Some(words.next()?),
                word if word.starts_with("--sha256=") => {
                    request.sha256 = word.split_once('=').map(|p| p.1)
                }
                word if word.starts_with('-') => return None,
                name => request.names.push(name),
            }
        }
        let addresses = request
            .names
            .iter()
            .filter(|n| fetch::is_address(n))
            .count();
        let is_sum_clear = request.sha256.is_none() || (request.names.len(), addresses) == (1, 1);
        (!request.names.is_empty() && is_sum_clear).then_some(request)
    }
}

/// Runs `act` for each name, and prints and audits the results; returns 0 if all are good.
fn each(names: &[&str], verb: &str, act: impl Fn(&str) -> Result<String>) -> i32 {
    let mut status = 0;
    for word in names {
        let name = word.split_once('#').map_or(*word, |(url, _)| url);
        match act(word) {
            Ok(summary) => {
                audit::record(&format!("ext {verb} {name}: {summary}"));
                print(&format!("{name}: {summary}\n"));
            }
            Err(why) => {
                print_error(&format!("b2p ext: {name}: {why}"));
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
    sweep().unwrap_or_else(|why| degraded.warn(why));
    for name in &config.extensions {
        let added =
            find_on_media(name, wait).and_then(|files| add_with_needs(env, &files, wait, false));
        match added {
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

/// Finds an extension by its name, after a move that a power cut had interrupted is complete.
fn find_on_media(name: &str, wait: Wait) -> Result<Files> {
    if !config::is_extension_name(name) {
        return Err(Error::invalid(
            "no name of an extension (a-z, digits, -); a file is named by a path with a slash",
        ));
    }
    if nix::unistd::geteuid().is_root() && keep::new_dir(Path::new(ON_DISK)).exists() {
        let _lock = add::lock()?;
        keep::recover(Path::new(ON_DISK), name)?;
    }
    find::find(name, wait)
}

/// Completes or removes extensions whose move to the disk was interrupted by a power cut.
fn sweep() -> Result<()> {
    if !keep::new_dir(Path::new(ON_DISK)).exists() {
        return Ok(());
    }
    let _lock = add::lock()?;
    keep::sweep(Path::new(ON_DISK));
    Ok(())
}

/// Adds one extension by name, file or address, with those that it needs.
fn add_one(env: &Environment, request: &Request<'_>, name: &str) -> Result<String> {
    add::ensure_root("add")?;
    if request.keep {
        keep::ensure_disk()?;
    }
    // Until a fetched extension is in its place, another `add` would take it for one that a cut has left.
    let _lock = add::lock()?;
    sweep()?;
    let files = match name {
        address if fetch::is_address(address) => {
            let address = Address::parse(address, request.sha256)?;
            let dir = match request.keep {
                true => keep::new_dir(Path::new(ON_DISK)),
                false => Path::new(RAM).to_owned(),
            };
            address.fetch(&dir)?
        }
        path if path.contains('/') => Files::at(path)?,
        name => find_on_media(name, Wait::No)?,
    };
    let is_fetched = fetch::is_address(name);
    let added = add_with_needs(env, &files, Wait::No, request.keep);
    let is_used = added.is_ok() || add::added().contains(&files.name());
    if is_fetched && !is_used {
        files.remove();
    }
    added
}

/// Adds an extension after those that it needs. With `keep`, each of them is put on the data disk first.
fn add_with_needs(env: &Environment, files: &Files, wait: Wait, keep: bool) -> Result<String> {
    let name = files.name();
    let mut found: Vec<Files> = Vec::new();
    let order = plan::order(&name, &mut |wanted| {
        let files = match wanted == name {
            true => files.clone(),
            false if add::added().iter().any(|known| known == wanted) => return Ok(None),
            false => find_on_media(wanted, wait)?,
        };
        let text = manifest::read_text(&files.manifest())?;
        let needs = Manifest::parse(&text)?
            .needed_extensions()
            .map(str::to_owned)
            .collect();
        found.push(files);
        Ok(Some(needs))
    })?;
    let is_awaited = wait == Wait::No;
    let mut summary = String::new();
    for wanted in &order {
        let Some(files) = found.iter().find(|files| files.name() == *wanted) else {
            continue;
        };
        let added = keep_one(env, files, keep).and_then(|files| add::add(env, &files, is_awaited));
        summary = match *wanted == name {
            true => added?,
            false => added.doing(format!("it needs {wanted}"))?,
        };
    }
    Ok(summary)
}

/// Puts an extension on the data disk, unless it is there already, after it has passed every check.
fn keep_one(env: &Environment, files: &Files, keep: bool) -> Result<Files> {
    let dir = Path::new(ON_DISK);
    if !keep || files.are_in(dir) {
        return Ok(files.clone());
    }
    let _lock = add::lock()?;
    let new = match files.are_in(&keep::new_dir(dir)) {
        true => files.clone(),
        false => keep::copy(files, dir)?,
    };
    let check = || {
        let text = manifest::read_text(&new.manifest())?;
        let manifest = image::check_platform(&new, &text)?;
        add::open(env, &new, &manifest).map(drop)
    };
    if let Err(why) = check() {
        new.remove();
        return Err(why);
    }
    let kept = keep::commit(&new, dir)?;
    info!("ext: {}: kept in {ON_DISK}", kept.name());
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_an_addition() {
        let request = Request::parse(&["--keep", "git", "./x.erofs"]);
        let expected = Request {
            names: vec!["git", "./x.erofs"],
            keep: true,
            sha256: None,
        };
        assert_eq!(request, Some(expected));
        let url = "https://host/x/git";
        for words in [
            &["--sha256", "ab", url],
            &[url, "--sha256", "ab"],
            &[url, "--keep", "--sha256=ab"],
        ] {
            assert_eq!(Request::parse(words).and_then(|r| r.sha256), Some("ab"));
        }
        for words in [
            &[][..],
            &["--keep"],
            &["--kept", "git"],
            &["--sha256"],
            &["--sha256", "ab", "git"],
            &["--sha256", "ab", url, url],
        ] {
            assert_eq!(Request::parse(words), None, "{words:?}");
        }
    }
}
