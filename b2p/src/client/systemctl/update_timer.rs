// SPDX-License-Identifier: Apache-2.0
//! `podman-auto-update.timer`, which updates images each day on other systems. The enabled timer is a service
//! file of the owner with a time; the flag `b2p.auto_update=` does the same. Updates are those of root's containers and
//! of all users', and so is the timer: a user with root's rights may enable it with `--user` as well.

use std::path::Path;

use config::AutoUpdate;
use control::{Name, SERVICES};
use sys::error::{Doing, Error, Result};

use super::options::Options;
use crate::common::service_env::Environment;
use crate::common::service_files;
use crate::common::service_loading::load;
use crate::common::terminal::print_plain_error as print_error;
use crate::helpers::timers::update_timer::{self, FILE, UNIT};

/// Enables or disables the timer, if the command names it, and returns the exit status, and the command for the other
/// units, if there are any. Commands that do not name the timer are returned unchanged.
pub fn take(env: &Environment, options: &Options) -> (i32, Option<Options>) {
    let verb = options.verb.as_str();
    let is_timer = |name: &String| name == UNIT;
    if !["enable", "reenable", "disable"].contains(&verb) || !options.names.iter().any(is_timer) {
        return (0, Some(options.clone()));
    }
    let done = Name::new(FILE).map_or(Ok(()), |name| change(env, &name, verb == "disable"));
    let status = done.map_or_else(
        |why| {
            print_error(&why.to_string());
            1
        },
        |()| 0,
    );
    (status, without(options))
}

fn without(options: &Options) -> Option<Options> {
    let mut names = options.names.clone();
    names.retain(|name| name != UNIT);
    (!names.is_empty()).then(|| options.with_names(names))
}

fn change(env: &Environment, name: &Name, is_disable: bool) -> Result<()> {
    let is_flag = is_flag();
    match is_disable {
        true => disable(env, name, is_flag),
        false if is_flag => Ok(()),
        false => enable(env, name),
    }
}

fn is_flag() -> bool {
    sys::config_sources::read().0.auto_update != AutoUpdate::Off
}

/// Returns true if the images of the machine are updated at times.
pub fn is_enabled() -> bool {
    is_flag() || Path::new(SERVICES).join(FILE).exists()
}

fn enable(env: &Environment, name: &Name) -> Result<()> {
    update_timer::write(&env.user_files)?;
    load(env, name)
}

fn disable(env: &Environment, name: &Name, is_flag: bool) -> Result<()> {
    let path = env.user_files.join(name.as_str());
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.on(&path)?,
    }
    service_files::unstage(&env.loaded_files, name);
    match is_flag {
        true => Err(Error::invalid(format!(
            "Failed to disable {UNIT}: the flag b2p.auto_update asks for it"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_units_and_verbs_are_not_its_own() {
        let env = Environment::of(&crate::common::control_client::ControlClient::default());
        for line in ["enable web", "status podman-auto-update.timer", "enable"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let options = Options::parse(&words);
            assert_eq!(take(&env, &options), (0, Some(options)), "{line}");
        }
    }

    #[test]
    fn the_timer_leaves_the_other_units_of_a_command() {
        for (line, left) in [
            (
                "--user enable --now podman-auto-update.timer web db",
                Some("web db"),
            ),
            ("disable podman-auto-update.timer", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let rest = without(&Options::parse(&words));
            let names = rest.as_ref().map(|options| options.names.join(" "));
            assert_eq!(names.as_deref(), left, "{line}");
            assert!(rest.is_none_or(|options| options.has("now") && options.has("user")));
        }
    }
}
