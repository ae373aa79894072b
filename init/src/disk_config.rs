//! What the data disk says of the configuration takes effect: for what has not begun.
//!
//! `b2p data` has put it under [`sys::paths::DISK_CONFIG_DIR`], in RAM, before it ended. It is taken
//! before that end counts, so that the services which wait for the disk find their
//! rows as the disk wants them.

use std::path::Path;

use config::{Config, Source};
use log::info;
use services::{Event, Manager, ServiceId, Supervisor};

use crate::service_table::{self, Host};
use crate::state::SystemState;
use crate::{identity, session};
use sys::clock::now;
use sys::{config_sources, kmsg};

/// A child has ended, perhaps `b2p data`: takes what it has left, once in a boot.
pub fn apply_once(state: &mut SystemState, manager: &mut Manager) {
    if state.disk_config_applied || !Path::new(sys::paths::DATA_REPORT).exists() {
        return; // the report is the last that it writes
    }
    state.disk_config_applied = true;
    if !Path::new(sys::paths::DISK_CONFIG_DIR).exists() {
        return;
    }
    let (config, complaints) = config_sources::read();
    for complaint in complaints.iter().filter(|c| c.source() == Source::Disk) {
        state.degraded("flag", &complaint.to_string());
    }
    let before = std::mem::replace(&mut state.config, config);
    if state.config != before {
        apply(state, &before, manager);
    }
}

fn apply(state: &mut SystemState, before: &Config, manager: &mut Manager) {
    info!("what is on the data disk changes the configuration");
    ::log::set_max_level(kmsg::level_filter(state.config.loglevel));
    let rows = service_table::select(&state.config, &Host::detect());
    turn_off_removed(&mut state.config, &rows, manager);
    let config = state.config.clone();
    if config.hostname != before.hostname
        && let Err(why) = sys::hostname::set(&config.hostname)
    {
        state.degraded("hostname", &why.to_string());
    }
    if config.ssh_keys != before.ssh_keys
        && let Err(why) = identity::add_keys(&config)
    {
        state.degraded("keys", &why);
    }
    let session =
        session::rename_user(&config.user).and_then(|()| session::write_environment(&config));
    if let Err(why) = session {
        state.degraded("sessions", &why);
    }
    manager.revise(rows);
    let late = state.ready.is_some();
    let (starts, stops) = changed_services(&config, before, late, &manager.supervisor);
    // Those that begin first: others wait for them. Those that end in the other order of
    // the table: an end lets go who waits for it, and that may be to end as well.
    for id in starts {
        manager.note(now(), Event::Start(id));
    }
    for id in stops.into_iter().rev() {
        manager.note(now(), Event::Stop(id));
    }
}

/// Which services begin now that `before` did not ask for, and which end.
fn changed_services(
    config: &Config,
    before: &Config,
    late: bool,
    s: &Supervisor,
) -> (Vec<ServiceId>, Vec<ServiceId>) {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for id in s.ids() {
        let Some(row) = s.definition(id) else {
            continue;
        };
        let was = sys::service_names::starts_at_boot(before, row.name);
        let is = sys::service_names::starts_at_boot(config, row.name);
        let new = s.timestamps(id).asked.is_none();
        if !is && was {
            stops.push(id);
        } else if is && (new || !was) && (late || !row.after_ready) {
            starts.push(id);
        }
    }
    (starts, stops)
}

/// A row that is there no more is one that is off.
fn turn_off_removed(config: &mut Config, rows: &[services::ServiceDef], manager: &Manager) {
    let s = &manager.supervisor;
    let own = s
        .ids()
        .filter(|id| !s.is_user_service(*id))
        .filter_map(|id| s.definition(id));
    for gone in own.filter(|old| rows.iter().all(|new| new.name != old.name)) {
        config.services.retain(|(name, _)| name != gone.name);
        config.services.push((gone.name.to_owned(), false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::state::Action;

    /// The machine at the moment when `b2p data` has ended: only what waits for nothing
    /// has begun.
    fn waiting(config: &Config) -> Supervisor {
        let mut s = Supervisor::new(service_table::select(config, &Host::default()));
        for id in s.ids() {
            let row = s.definition(id);
            if row.is_some_and(|row| {
                !row.after_ready && sys::service_names::starts_at_boot(config, row.name)
            }) {
                for (action, pid) in s.handle(0, Event::Start(id)).into_iter().zip(100..) {
                    if let Action::Spawn(id) = action {
                        s.handle(
                            0,
                            Event::Spawned(id, pid + services::Pid::from(id.index() as u8)),
                        );
                    }
                }
            }
        }
        s
    }

    #[test]
    fn nothing_begins_that_is_to_be_off() {
        let before = Config {
            user: "ann".into(),
            ..Config::default()
        };
        let off = ["data", "cloud", "podman"].map(|name| (name.to_owned(), false));
        let config = Config {
            services: off.to_vec(),
            ..before.clone()
        };
        let mut s = waiting(&before);
        let (starts, stops) = changed_services(&config, &before, false, &s);
        assert!(starts.is_empty(), "{starts:?}");
        let mut todo = Vec::new();
        for id in stops.into_iter().rev() {
            todo.extend(s.handle(1, Event::Stop(id)));
        }
        let data = s.find("data").and_then(|id| s.state(id).pid());
        let pid = data.unwrap_or_default();
        todo.extend(s.handle(2, Event::Exited(pid, services::ExitStatus::Exited(0))));
        let begun: Vec<_> = todo
            .iter()
            .filter_map(|action| match action {
                Action::Spawn(id) | Action::Watch(id) => s.definition(*id).map(|row| row.name),
                _ => None,
            })
            .collect();
        assert_eq!(
            begun,
            ["hostkey"],
            "what is off, or waits for that, has begun"
        );
    }
}
