// SPDX-License-Identifier: Apache-2.0
//! Definitions that change while the machine runs: service files of its owner, and the
//! machine's own definitions after the data disk was read.

use log::{info, warn};

use super::Manager;
use crate::file;
use crate::service::ServiceDef;
use crate::service_io::ServiceIo;
use crate::state::ServiceId;
use crate::supervisor::DefinitionError;

impl Manager {
    /// Adds the service of a service file ([`file::parse`]), or replaces the one of the same
    /// name if that is at rest. The service is off.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or the reason why the service cannot be added.
    pub fn load(
        &mut self,
        name: &str,
        bytes: &[u8],
        passwd: &str,
        group: &str,
    ) -> Result<ServiceId, Vec<String>> {
        let say = |why: DefinitionError| vec![format!("{name}: {why}")];
        // Before the file is parsed: the strings of a definition are never freed.
        self.supervisor.may_add(name).map_err(say)?;
        let def = file::parse(name, bytes, passwd, group)?.leak();
        self.add(def).map_err(say)
    }

    fn add(&mut self, def: ServiceDef) -> Result<ServiceId, DefinitionError> {
        let id = self.supervisor.add(def)?;
        // The limits of an earlier definition must not stay.
        if let Some(cgroup) = self.cgroup(def.name) {
            cgroup.remove();
        }
        match self.io.get_mut(id.index()) {
            // The output pipe stays: processes of an earlier life may still write to it.
            Some(io) => io.close_socket(),
            None => self.io.push(ServiceIo::default()),
        }
        Ok(id)
    }

    /// Makes `definitions` the machine's own, for services that have not begun: known ones are
    /// revised, new ones are added and off.
    pub fn revise(&mut self, definitions: Vec<ServiceDef>) {
        for def in definitions {
            let name = def.name;
            match self.supervisor.find(name) {
                Some(id) if self.supervisor.definition(id) == Some(&def) => {}
                Some(_) if self.supervisor.revise(def) => {}
                Some(_) => info!("{name}: runs; what the data disk says of it holds later"),
                None => match self.supervisor.extend(def) {
                    Ok(_) => self.io.push(ServiceIo::default()),
                    Err(why) => warn!("{name}: {why}"),
                },
            }
        }
    }
}
