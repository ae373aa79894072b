// SPDX-License-Identifier: Apache-2.0
//! Configuration that becomes known while the machine boots. Host name, keys and user change at once;
//! services start and stop accordingly.
//!
//! `b2p data` copies the configuration of the data disk to [`DISK_CONFIG_DIR`], in RAM, before it
//! ends. `b2p cloud` and `b2p ignition` write the configuration of a document to [`DOCUMENT_CONFIG`].
//! PID 1 applies a configuration when the end of the helper is noted and before any service that waits
//! for the helper starts.

use std::path::Path;

use config::Config;
use log::info;
use services::{Manager, ServiceDef};
use sys::clock::now;
use sys::error::Error;
use sys::paths::{DISK_CONFIG_DIR, DOCUMENT_CONFIG};
use sys::service_names::starts_at_boot;
use sys::{config_sources, kmsg};

use crate::context::Context;
use crate::event_sources::Event;
use crate::service_table::names::IGNITION;
use crate::service_table::{self, Platform};
use crate::state::SystemState;
use crate::{boot, identity, session, user};

/// Applies the configuration that `b2p data` has found.
pub fn apply(context: &mut Context<'_>, _: &Event) {
    apply_from(
        context,
        &[DISK_CONFIG_DIR, DOCUMENT_CONFIG],
        "the data disk",
    );
}

/// Applies the configuration that `b2p cloud` or `b2p ignition` has found.
pub fn apply_document(context: &mut Context<'_>, _: &Event) {
    apply_from(context, &[DOCUMENT_CONFIG], "a document of the host");
}

/// Reads all sources of configuration again, and applies changes, if one of `files` exists.
fn apply_from(context: &mut Context<'_>, files: &[&str], source: &str) {
    if !files.iter().any(|file| Path::new(file).exists()) {
        return;
    }
    let (config, diagnostics) = config_sources::read();
    let state = &mut *context.state;
    state.degraded.set_flags(&diagnostics);
    let before = std::mem::replace(&mut state.config, config);
    if state.config == before {
        return;
    }
    info!("the configuration changes: settings of {source}");
    log::set_max_level(kmsg::level_filter(state.config.loglevel));
    // A user named by the source exists before the services that run as the user.
    apply_identity(state, &before);
    revise(context, &before);
}

/// Replaces the definitions of built-in services by those of the configuration that has replaced `before`, and starts
/// and stops services accordingly.
pub fn revise(context: &mut Context<'_>, before: &Config) {
    let state = &mut *context.state;
    let defs = service_table::select(&state.config, &Platform::detect(&state.config));
    state.absent = absent(&defs, context.manager);
    context.manager.revise(defs);
    start_and_stop(context.manager, state, before);
}

/// Fault of a disk labelled ignition that appears after the user services were loaded.
const TOO_LATE: &str = "the disk labelled ignition appeared after the user services were loaded: its document is \
                        applied at a boot at which the disk is present";

/// Adds the service that applies a document of Ignition, and starts it.
pub fn add_ignition(context: &mut Context<'_>, _: &Event) {
    let config = &context.state.config;
    let def = service_table::find(IGNITION, config, &Platform::detect(config));
    let Some(def) = def.filter(|_| starts_at_boot(config, IGNITION)) else {
        return;
    };
    context.manager.revise(vec![def]);
    match context.manager.supervisor().find(IGNITION) {
        Some(id) => context.manager.note(now(), services::Input::Start(id)),
        None => context.state.degraded.set(IGNITION, [(IGNITION, TOO_LATE)]),
    }
}

/// Applies the host name, the keys and the user of sessions.
fn apply_identity(state: &mut SystemState, before: &Config) {
    let SystemState {
        config, degraded, ..
    } = state;
    if config.hostname != before.hostname {
        let set = sys::hostname::set(&config.hostname, &sys::files::replace_at_once);
        degraded.set_err(boot::HOSTNAME, set);
    }
    if config.ssh_keys != before.ssh_keys {
        degraded.set_err(boot::KEYS, identity::add_keys(config));
    }
    let user = match (&config.user, config.uid) == (&before.user, before.uid) {
        true => Ok(()),
        false => user::make_runtime_dir(config),
    };
    let environment = sys::session::write_environment(config);
    let errors = [user, environment].into_iter().filter_map(Result::err);
    degraded.set_err(boot::SESSIONS, Error::join(errors.collect()));
    session::link_docker_socket(config, Some(before));
}

/// Starts the services that the configuration wants and that `before` did not want or whose start was never requested;
/// stops the services that the configuration no longer wants.
fn start_and_stop(manager: &mut Manager, state: &SystemState, before: &Config) {
    for id in manager.supervisor().ids() {
        let Some(def) = manager.supervisor().definition(id) else {
            continue;
        };
        let wanted = state.starts_at_boot(def.name);
        let was_wanted = starts_at_boot(before, def.name);
        let is_new = manager.supervisor().timestamps(id).asked.is_none();
        let is_due = state.ready.is_some() || !def.after_ready;
        if was_wanted && !wanted {
            manager.note(now(), services::Input::Stop(id));
        } else if wanted && (is_new || !was_wanted) && is_due {
            manager.note(now(), services::Input::Start(id));
        }
    }
}

/// Returns the built-in services of the supervisor that are not among `defs`: the configuration no longer has them.
fn absent(defs: &[ServiceDef], manager: &Manager) -> Vec<&'static str> {
    let s = manager.supervisor();
    let builtin = s.ids().filter(|id| !s.is_user_service(*id));
    let names = builtin.filter_map(|id| Some(s.definition(id)?.name));
    names
        .filter(|name| defs.iter().all(|def| def.name != *name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_table::names::{CLOUD, CLOUD_SCRIPTS, DATA, HOSTKEY, PODMAN};
    use services::state::Action;
    use services::{ExitStatus, Input, Pid};

    /// Returns a boot in which the services that wait for nothing have begun. No process is
    /// started: the supervisor alone decides.
    fn begun(config: &Config) -> Manager {
        let defs = service_table::select(config, &Platform::default());
        let mut manager = Manager::new(defs, None, |_, _| {});
        let state = SystemState {
            config: config.clone(),
            ..SystemState::default()
        };
        crate::ready::start_services(&mut manager, &state, false);
        for (action, pid) in manager.decide(0).into_iter().zip(100..) {
            if let Action::Spawn(id) = action {
                manager.note(0, Input::Spawned(id, pid));
            }
        }
        manager
    }

    fn pid_of(manager: &Manager, name: &str) -> Pid {
        let id = manager.supervisor().find(name);
        let pid = id.and_then(|id| manager.supervisor().state(id).pid());
        pid.unwrap_or_default()
    }

    #[test]
    fn a_service_that_the_configuration_no_longer_has_does_not_start() {
        let without = Config {
            cloud: false,
            ..Config::default()
        };
        let manager = begun(&Config::default());
        let defs = service_table::select(&without, &Platform::default());
        let state = SystemState {
            absent: absent(&defs, &manager),
            ..SystemState::default()
        };
        assert_eq!(state.absent, [CLOUD, CLOUD_SCRIPTS]);
        assert!(!state.starts_at_boot(CLOUD) && state.starts_at_boot(DATA));
    }

    #[test]
    fn services_that_the_disk_turns_off_do_not_start() {
        let before = Config {
            user: "ann".into(),
            ..Config::default()
        };
        let off = [DATA, CLOUD, PODMAN].map(|name| (name.to_owned(), false));
        let state = SystemState {
            config: Config {
                services: off.to_vec(),
                ..before.clone()
            },
            ..SystemState::default()
        };
        let mut manager = begun(&before);
        let data = pid_of(&manager, DATA);
        manager.note(1, Input::Exited(data, ExitStatus::Exited(0)));
        start_and_stop(&mut manager, &state, &before);
        let actions = manager.decide(1).into_iter();
        let started: Vec<_> = actions
            .filter_map(|action| match action {
                Action::Spawn(id) | Action::Watch(id) => manager.supervisor().definition(id),
                _ => None,
            })
            .map(|def| def.name)
            .collect();
        assert_eq!(started, [HOSTKEY]);
    }
}
