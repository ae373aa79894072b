// SPDX-License-Identifier: Apache-2.0
//! Definitions that change while the machine runs: service files of its user, and the
//! machine's own definitions after the data disk was read.

use std::fmt;

use log::{info, warn};
use sys::syscall::close_in_child;

use super::Manager;
use crate::service::ServiceDef;
use crate::service_file::{self, FileErrors};
use crate::service_io::ServiceIo;
use crate::state::ServiceId;
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
        // Before the file is parsed: the texts of a definition are never freed.
        self.supervisor.may_add(name).map_err(refused)?;
        let parsed = service_file::parse(name, bytes, passwd, group).map_err(LoadError::File)?;
        self.add(parsed.leak()).map_err(refused)
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

    /// Replaces the machine's own definitions by `definitions`, for services that wait for others or
    /// are at rest. New ones are added and off.
    pub fn revise(&mut self, definitions: Vec<ServiceDef>) {
        for def in definitions {
            let name = def.name;
            match self.supervisor.find(name) {
                Some(id) if self.supervisor.definition(id) == Some(&def) => {}
                Some(_) if self.supervisor.revise(def) => {}
                Some(_) => info!("{name}: runs; the settings of the data disk apply to it later"),
                None => match self.supervisor.extend(def) {
                    Ok(_) => self.io.push(ServiceIo::default()),
                    Err(why) => warn!("{name}: {why}"),
                },
            }
        }
    }
}
