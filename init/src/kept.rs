//! What the data disk says of the configuration takes effect: for what has not begun.
//!
//! `b2p data` has put it under [`flags::KEPT`], in RAM, before it ended. It is taken
//! before that end counts, so that the services which wait for the disk find their
//! rows as the disk wants them.

use std::path::Path;

use config::{Config, Source};
use log::info;
use services::{Event, Manager};

use crate::machine::{Machine, now};
use crate::{data, flags, identity, kmsg, session, table};

/// A child has ended, perhaps `b2p data`: takes what it has left, once in a boot.
pub fn take(machine: &mut Machine, manager: &mut Manager) {
    if machine.kept || !Path::new(data::REPORT).exists() {
        return; // the report is the last that it writes
    }
    machine.kept = true;
    if !Path::new(flags::KEPT).exists() {
        return;
    }
    let (config, complaints) = flags::all();
    for complaint in complaints.iter().filter(|c| c.source() == Source::Disk) {
        machine.degraded("flag", &complaint.to_string());
    }
    let before = std::mem::replace(&mut machine.config, config);
    if machine.config != before {
        apply(machine, &before, manager);
    }
}

fn apply(machine: &mut Machine, before: &Config, manager: &mut Manager) {
    info!("the data disk has a configuration");
    ::log::set_max_level(kmsg::filter(machine.config.loglevel));
    let rows = table::services(&machine.config);
    withdraw(&mut machine.config, &rows, manager);
    let config = machine.config.clone();
    if config.hostname != before.hostname
        && let Err(why) = identity::hostname(&config.hostname)
    {
        machine.degraded("hostname", &why);
    }
    if config.ssh_keys != before.ssh_keys
        && let Err(why) = identity::more_keys(&config)
    {
        machine.degraded("keys", &why);
    }
    let session = session::user(&config.user).and_then(|()| session::environment(&config));
    if let Err(why) = session {
        machine.degraded("sessions", &why);
    }
    manager.revise(rows);
    let late = machine.ready.is_some();
    for id in manager.supervisor.ids() {
        let Some(row) = manager.supervisor.row(id).copied() else {
            continue;
        };
        let (was, is) = (
            table::wanted(before, row.name),
            table::wanted(&config, row.name),
        );
        let new = manager.supervisor.first(id).asked.is_none();
        if !is && was {
            manager.event(now(), Event::Stop(id));
        } else if is && (new || !was) && (late || !row.after_ready) {
            manager.event(now(), Event::Start(id));
        }
    }
}

/// A row that is there no more is one that is off.
fn withdraw(config: &mut Config, rows: &[services::Service], manager: &Manager) {
    let s = &manager.supervisor;
    let own = s
        .ids()
        .filter(|id| !s.added(*id))
        .filter_map(|id| s.row(id));
    for gone in own.filter(|old| rows.iter().all(|new| new.name != old.name)) {
        config.services.retain(|(name, _)| name != gone.name);
        config.services.push((gone.name.to_owned(), false));
    }
}
