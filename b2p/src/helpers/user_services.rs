// SPDX-License-Identifier: Apache-2.0
//! Service `user-services`: loads the user's services, and units that become services, at boot.

use control::Request;

use super::quadlet::{self, BootStart};
use super::timers;
use crate::common::service_env::Environment;
use crate::common::service_files;
use crate::common::service_loading::{reload, start_timers};

/// Runs `b2p user-services`, at boot: loads all users' services and starts those that no flag
/// turns off, then those that quadlets have become. Returns the exit status.
pub fn main(env: &Environment) -> i32 {
    let boot = BootStart::read();
    // A request before the boot has started the services waits for them: this run does both.
    if quadlet::take_reload_request() && !boot.is_first() {
        quadlet::load(env, &boot);
        run_timers(env);
        return 0;
    }
    let status = reload(env);
    let config = sys::config_sources::read().0;
    for name in service_files::list(&env.user_files).0 {
        let waits = service_files::has_times(&env.loaded_files, &name);
        if !waits && sys::service_names::starts_at_boot(&config, name.as_str()) {
            // A service that cannot be started was reported at its load.
            let _ = env.control.ask(&Request::Start(name));
        }
    }
    quadlet::load(env, &boot);
    run_timers(env);
    status
}

fn run_timers(env: &Environment) {
    if timers::are_wanted() {
        start_timers(env);
    }
}
