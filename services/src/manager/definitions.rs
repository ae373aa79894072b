// SPDX-License-Identifier: Apache-2.0
//! Definitions that change while the machine runs: those of service files, and those of built-in services after the
//! data disk was read.

use std::fmt;

use log::{info, warn};
use sys::syscall::close_in_child;

use super::Manager;
use crate::cgroup::Cgroup;
use crate::service::{KillMode, ServiceDef};
use crate::service_file::{self, FileErrors};
use crate::service_io::ServiceIo;
use crate::state::{Revision, ServiceId};
use crate::supervisor::DefinitionError;

/// Reason why the service of a file cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file has faults.
    File(FileErrors),
    /// The service of this name cannot be added.
    Definition(String, DefinitionError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::File(errors) => errors.fmt(f),
            LoadError::Definition(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl Manager {
    /// Adds the service of a service file, or replaces the one of the same name if that is at
    /// rest. The service is off.
    ///
    /// # Errors
    /// All faults of the file, or the reason why the service cannot be added.
    pub fn load(
        &mut self,
        name: &str,
        bytes: &[u8],
        passwd: &str,
        group: &str,
    ) -> Result<ServiceId, LoadError> {
        let refused = |error| LoadError::Definition(name.to_owned(), error);
        self.supervisor.may_add(name).map_err(refused)?;
        let parsed = service_file::parse(name, bytes, passwd, group).map_err(LoadError::File)?;
        // The texts of a definition are never freed: an unchanged file gives the definition that exists.
        let known = self.supervisor.known(name).find(|def| parsed.is(def));
        let def = match known.copied() {
            Some(def) => def,
            None => {
                self.supervisor.may_grow().map_err(refused)?;
                parsed.leak()
            }
        };
        self.add(def).map_err(refused)
    }

    fn add(&mut self, def: ServiceDef) -> Result<ServiceId, DefinitionError> {
        let id = self.supervisor.add(def)?;
        // The limits of an earlier definition must not stay.
        if let Some(cgroup) = self.cgroup(&def) {
            cgroup.remove();
        }
        match self.io.get_mut(id.index()) {
            // The output pipe stays: processes of earlier runs may still write to it.
            Some(io) => close_in_child(io.take_socket().into_iter().collect()),
            None => self.io.push(ServiceIo::default()),
        }
        Ok(id)
    }

    /// Forgets the services that are to be unloaded and have ended, once all changes were taken. A service whose
    /// kill mode leaves processes stays: they may still write to its output.
    pub(super) fn unload(&mut self) {
        if !self.changes.is_empty() {
            return;
        }
        let cgroups = self.cgroups.as_deref();
        let cgroup = |def: &ServiceDef| cgroups.map(|dir| Cgroup::of(dir, def));
        let has_left = |def: &ServiceDef| {
            let leaf = cgroup(def).filter(|_| def.kill == KillMode::Process);
            leaf.is_some_and(|leaf| !leaf.processes().is_empty())
        };
        for (id, def) in self.supervisor.unload(has_left) {
            info!("{}: its definition is gone", def.name);
            if let Some(cgroup) = cgroup(&def) {
                cgroup.remove();
            }
            if let Some(io) = self.io.get_mut(id.index()) {
                close_in_child(io.take_socket().into_iter().collect());
                *io = ServiceIo::default();
            }
        }
    }

    /// Replaces the definitions of built-in services by `definitions`; a service that runs gets its new definition at
    /// its next start. Services that do not exist yet are added and off.
    pub fn revise(&mut self, definitions: Vec<ServiceDef>) {
        for def in definitions {
            let name = def.name;
            match self.supervisor.find(name) {
                Some(id) => match self.supervisor.revise(id, def) {
                    Ok(Revision::Now) => {}
                    Ok(Revision::AtNextStart) => {
                        info!("{name}: runs; the changed configuration applies at its next start");
                    }
                    Err(why) => warn!("{name}: keeps its definition: {why}"),
                },
                None => match self.supervisor.extend(def) {
                    Ok(_) => self.io.push(ServiceIo::default()),
                    Err(why) => warn!("{name}: {why}"),
                },
            }
        }
    }
}
