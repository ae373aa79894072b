// SPDX-License-Identifier: Apache-2.0
//! `podman-auto-update.timer`, which updates images each day on other systems. The enabled timer is a service
//! file of the user with a time; the flag `b2p.auto_update=` does the same.

use config::AutoUpdate;
use control::Name;
use sys::error::{Doing, Error, Result};

use super::options::Options;
use super::query::NOT_RUNNING;
use crate::common::service_env::Environment;
use crate::common::service_files;
use crate::common::service_loading::load;
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::helpers::timers::update_timer::{self, FILE, UNIT};

/// Runs a verb for the timer, and returns the exit status; `None` for another unit or verb.
pub fn run(env: &Environment, options: &Options) -> Option<i32> {
    if options.names != [UNIT] || options.has("user") {
        return None;
    }
    let name = Name::new(FILE)?;
    let is_flag = sys::config_sources::read().0.auto_update != AutoUpdate::Off;
    let is_enabled = is_flag || service_files::exists(&env.user_files, &name);
    let say = |word: &str| {
        if !options.has("quiet") {
            print(&format!("{word}\n"));
        }
    };
    let done = match options.verb.as_str() {
        "enable" | "reenable" if is_flag => Ok(()),
        "enable" | "reenable" => enable(env, &name),
        "disable" => disable(env, &name, is_flag),
        "start" | "restart" if is_enabled => Ok(()),
        "start" | "restart" => Err(Error::invalid(format!(
            "Failed to start {UNIT}: `systemctl enable {UNIT}` comes first"
        ))),
        "is-enabled" => {
            say(if is_enabled { "enabled" } else { "disabled" });
            return Some(i32::from(!is_enabled));
        }
        "is-active" => {
            say(if is_enabled { "active" } else { "inactive" });
            return Some(if is_enabled { 0 } else { NOT_RUNNING });
        }
        _ => return None,
    };
    Some(match done {
        Ok(()) => 0,
        Err(why) => {
            print_error(&why.to_string());
            1
        }
    })
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
        for line in [
            "enable web",
            "status podman-auto-update.timer",
            "--user enable podman-auto-update.timer",
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(run(&env, &Options::parse(&words)), None, "{line}");
        }
    }
}
