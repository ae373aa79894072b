// SPDX-License-Identifier: Apache-2.0
//! `b2p load`, `reload` and `user-services`: PID 1 reads files of user services.

use control::{Name, Report, Request};
use sys::error::Result;
use sys::service_names::{TIMERS, is_off};

use super::{Environment, explain, find, parse_names};
use crate::client::service_files;
use crate::common::control_client::{self, is_at_rest};
use crate::common::terminal::{print, print_error};
use crate::helpers::quadlet::{self, BootStart};
use crate::helpers::timers;

/// Runs `b2p load NAME…` and returns the exit status.
pub fn load_main(env: &Environment, args: &[String]) -> i32 {
    let Some(names) = parse_names(args) else {
        return 2;
    };
    let load = |name: &Name| load_and_report(env, name);
    names.iter().map(load).max().unwrap_or(0)
}

/// Loads the user's file, prints the result and returns the exit status.
fn load_and_report(env: &Environment, name: &Name) -> i32 {
    match load(env, name) {
        Ok(()) => {
            print(&format!("{name}: loaded\n"));
            0
        }
        Err(error) => {
            print_error(&format!("b2p: {error}"));
            1
        }
    }
}

/// Copies the user's file to where PID 1 reads it, and has PID 1 read it.
///
/// # Errors
/// The file cannot be read, or PID 1 refuses it.
pub fn load(env: &Environment, name: &Name) -> Result<()> {
    service_files::stage(&env.user_files, &env.loaded_files, name)?;
    let answer = env.control.ask(&Request::Load(name.clone()));
    answer.map_err(|error| {
        // A file that was not taken is offered again.
        service_files::unstage(&env.loaded_files, name);
        explain(&error, "load", name)
    })?;
    if service_files::has_times(&env.loaded_files, name) {
        start_timers(env);
    }
    Ok(())
}

/// Starts the service of timers if there is anything for it to start.
fn start_timers(env: &Environment) {
    let config = sys::config_sources::read().0;
    if let Some(name) =
        Name::new(TIMERS).filter(|_| !is_off(&config, TIMERS) && timers::are_wanted())
    {
        let _ = env.control.ask(&Request::Start(name));
    }
}

/// Runs `b2p reload`, which loads the files of all users' services that do not run, and returns
/// the exit status.
pub fn reload_main(env: &Environment) -> i32 {
    let text = match env.control.ask(&Request::Status) {
        Ok(text) => text,
        Err(error) => {
            let error = control_client::explain(&error, "b2p reload");
            print_error(&format!("b2p: {error}"));
            return 1;
        }
    };
    let report = Report::parse(&text);
    let (names, wrong) = service_files::list(&env.user_files);
    for file_name in &wrong {
        print_error(&format!(
            "b2p: {file_name}: not a name of a service; left out"
        ));
    }
    let mut status = i32::from(!wrong.is_empty());
    for name in &names {
        // PID 1 itself refuses a file with the name of a service of the machine.
        let runs = find(&report, name).is_some_and(|s| s.is_user_service && !is_at_rest(s.state));
        if !runs {
            status = status.max(load_and_report(env, name));
        } else if service_files::differs(&env.user_files, &env.loaded_files, name) {
            print(&format!(
                "{name}: runs; `b2p restart {name}` takes the new file\n"
            ));
        }
    }
    status
}

/// Runs `b2p user-services`, at boot: loads all users' services and starts those that no flag
/// turns off, then those that quadlets have become. Returns the exit status.
pub fn user_services_main(env: &Environment) -> i32 {
    let boot = BootStart::read();
    // A request that comes before the boot has started the services waits for that: this run does both.
    if quadlet::take_reload_request() && !boot.is_first() {
        quadlet::load(env, &boot);
        return 0;
    }
    let status = reload_main(env);
    let config = sys::config_sources::read().0;
    for name in service_files::list(&env.user_files).0 {
        let waits = service_files::has_times(&env.loaded_files, &name);
        if !waits && sys::service_names::starts_at_boot(&config, name.as_str()) {
            // A service that cannot be started was reported when it was loaded.
            let _ = env.control.ask(&Request::Start(name));
        }
    }
    quadlet::load(env, &boot);
    start_timers(env);
    status
}
