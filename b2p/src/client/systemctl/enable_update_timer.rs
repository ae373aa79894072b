// SPDX-License-Identifier: Apache-2.0
//! `systemctl enable` and `disable` of `podman-auto-update.timer`, which updates the images of containers each day.
//! `enable` writes the service file `auto-update-timer`, which has an `at`; `disable` removes the file. The flag
//! `b2p.auto_update=` has the same effect as the file. One timer serves the containers of root and of all users, so a user
//! who may act as root can also enable the timer with `--user`.

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

/// Enables or disables the timer if the command names it. Returns the exit status so far, and the command for the
/// remaining units; `None` if no unit remains. A command that does not name the timer is returned unchanged.
pub fn handle(env: &Environment, options: &Options) -> (i32, Option<Options>) {
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

fn change(env: &Environment, name: &Name, disables: bool) -> Result<()> {
    let flag_is_set = flag_is_set();
    match disables {
        true => disable(env, name, flag_is_set),
        false if flag_is_set => Ok(()),
        false => enable(env, name),
    }
}

/// Returns true if the flag `b2p.auto_update=` enables updates.
fn flag_is_set() -> bool {
    sys::config_sources::read().0.auto_update != AutoUpdate::Off
}

/// Returns true if a timer updates the images of the machine.
pub fn is_enabled() -> bool {
    flag_is_set() || Path::new(SERVICES).join(FILE).exists()
}

fn enable(env: &Environment, name: &Name) -> Result<()> {
    update_timer::write(&env.user_files)?;
    load(env, name)
}

fn disable(env: &Environment, name: &Name, flag_is_set: bool) -> Result<()> {
    let path = env.user_files.join(name.as_str());
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.on(&path)?,
    }
    service_files::unstage(&env.loaded_files, name);
    match flag_is_set {
        true => Err(Error::invalid(format!(
            "Failed to disable {UNIT}: the flag b2p.auto_update= enables updates; remove the flag"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_returns_commands_without_the_timer_unchanged() {
        let env = Environment::of(&crate::common::control_client::ControlClient::default());
        for line in ["enable web", "status podman-auto-update.timer", "enable"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let options = Options::parse(&words);
            assert_eq!(handle(&env, &options), (0, Some(options)), "{line}");
        }
    }

    #[test]
    fn without_removes_only_the_timer_from_the_units_of_a_command() {
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
