// SPDX-License-Identifier: Apache-2.0
//! Files of user services: PID 1 reads a copy of each file on request.

use control::{Name, Report, Request};
use sys::error::Result;
use sys::service_names::{TIMERS, is_off};

use crate::common::control_client::{self, is_at_rest};
use crate::common::service_env::{Environment, explain};
use crate::common::service_files;
use crate::common::status::with_name;
use crate::common::terminal::{print, print_error};

/// Copies the user's file to the directory of PID 1's copies, and asks PID 1 to read the copy.
///
/// # Errors
/// The file cannot be read, or PID 1 refuses the file.
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

/// Starts the service that starts others at their times, unless a flag turns that service off.
pub fn start_timers(env: &Environment) {
    let config = sys::config_sources::read().0;
    if let Some(name) = Name::new(TIMERS).filter(|_| !is_off(&config, TIMERS)) {
        let _ = env.control.ask(&Request::Start(name));
    }
}

/// Loads the user's file, prints the result and returns the exit status.
pub fn load_and_report(env: &Environment, name: &Name) -> i32 {
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

/// Loads the files of all users' services that do not run, prints the results and returns the exit
/// status: `b2p reload`.
pub fn reload(env: &Environment) -> i32 {
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
        // PID 1 itself refuses a file with the name of a built-in service.
        let runs =
            with_name(&report, name).is_some_and(|s| s.is_user_service && !is_at_rest(s.state));
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
