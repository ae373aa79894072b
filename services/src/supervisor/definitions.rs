// SPDX-License-Identifier: Apache-2.0
//! Changes of the table: user services that are added at run time, and definitions of the
//! built-in services that the data disk changes during the boot.

use super::Supervisor;
use crate::Millis;
use crate::definition_error::DefinitionError;
use crate::graph;
use crate::service::ServiceDef;
use crate::service_record::ServiceRecord;
use crate::state::{ServiceId, State};

/// Maximum number of user services.
pub const MAX_USER_SERVICES: usize = 192;
/// Maximum number of definitions at run time, refused ones included. The strings of a definition that
/// is replaced or refused are never freed.
pub(crate) const MAX_ADDED: usize = 1_000;

impl Supervisor {
    /// Reason why the service can never start, for a table that was just created.
    pub(super) fn reason_invalid(&self, id: ServiceId) -> Option<DefinitionError> {
        let name = self.definition(id)?.name;
        if id.index() >= graph::MAX_SERVICES {
            Some(DefinitionError::TooManyServices)
        } else if self.needs_transitively(id, id) {
            Some(DefinitionError::NeedsItself)
        } else if self.find(name) != Some(id) {
            Some(DefinitionError::DuplicateName)
        } else {
            None
        }
    }

    /// Checks that [`Supervisor::add`] would accept a service called `name` now.
    ///
    /// # Errors
    /// The reason why [`Supervisor::add`] would refuse the service.
    pub fn may_add(&self, name: &str) -> Result<(), DefinitionError> {
        let capacity = graph::MAX_SERVICES.min(self.builtin + MAX_USER_SERVICES);
        match self.find(name) {
            Some(id) if id.index() < self.builtin => Err(DefinitionError::NameTaken),
            Some(id) if !self.state(id).at_rest() => Err(DefinitionError::InUse),
            None if self.place().index() >= capacity => Err(DefinitionError::TooManyServices),
            _ if self.added >= MAX_ADDED => Err(DefinitionError::TooManyChanges),
            _ => Ok(()),
        }
    }

    /// Returns true if the service is not one of the machine's own, to which
    /// [`Supervisor::extend`] adds at run time as well.
    #[must_use]
    pub fn is_user_service(&self, id: ServiceId) -> bool {
        let is_free = self.free.contains(id.index());
        (self.builtin..self.records.len()).contains(&id.index()) && !is_free
    }

    /// Adds a user service, or replaces the one of the same name if that is at rest. The
    /// service is off.
    ///
    /// # Errors
    /// The errors of [`Supervisor::may_add`], [`DefinitionError::NeedsItself`] and
    /// [`DefinitionError::WaitsForItself`].
    pub fn add(&mut self, def: ServiceDef) -> Result<ServiceId, DefinitionError> {
        self.may_add(def.name)?;
        // Also a definition that is refused: its strings are never freed.
        self.added += 1;
        let id = self.find(def.name).unwrap_or_else(|| self.place());
        let mut definitions: Vec<&ServiceDef> = self.records.iter().map(|r| &r.def).collect();
        match definitions.get_mut(id.index()) {
            Some(replaced) => *replaced = &def,
            None => definitions.push(&def),
        }
        let needs = graph::needs(&definitions);
        let own = needs.get(id.index()).copied().unwrap_or_default();
        if own.contains(id.index()) {
            return Err(DefinitionError::NeedsItself);
        }
        let before = graph::predecessors(&definitions);
        let own = before.get(id.index()).copied().unwrap_or_default();
        if own.contains(id.index()) {
            return Err(DefinitionError::WaitsForItself);
        }
        self.needs = needs;
        self.free.remove(id.index());
        let record = ServiceRecord::new(id, def);
        match self.records.get_mut(id.index()) {
            Some(replaced) => *replaced = record,
            None => self.records.push(record),
        }
        Ok(id)
    }

    /// Returns the place of the next service: one that is free, or the one after the last.
    fn place(&self) -> ServiceId {
        let mut places = 0..self.records.len();
        let free = places.find(|n| self.free.contains(*n));
        ServiceId::new(free.unwrap_or(self.records.len()))
    }

    /// Requests the stop of a user service, and that it is forgotten.
    pub(super) fn request_unload(&mut self, now: Millis, id: ServiceId) {
        if self.is_user_service(id) {
            self.request_stop(now, id);
            self.with_id(id, |r, _| r.unload_requested = true);
        }
    }

    /// Forgets the services that are at rest and whose unloading was requested, except those that `keeps` names, and
    /// returns their definitions. The caller has taken all changes and actions: these name services by their ids.
    pub fn unload(&mut self, keeps: impl Fn(&ServiceDef) -> bool) -> Vec<(ServiceId, ServiceDef)> {
        let mut gone = Vec::new();
        for id in self.ids() {
            let is_due = |r: &&mut ServiceRecord| r.unload_requested && r.state.at_rest();
            let Some(record) = self.records.get_mut(id.index()).filter(is_due) else {
                continue;
            };
            record.unload_requested = false;
            if !keeps(&record.def) {
                gone.push((id, record.def));
                *record = ServiceRecord::new(id, ServiceDef::DEFAULT);
                self.free.insert(id.index());
            }
        }
        if !gone.is_empty() {
            let definitions: Vec<&ServiceDef> = self.records.iter().map(|r| &r.def).collect();
            self.needs = graph::needs(&definitions);
        }
        gone
    }

    /// Replaces the definition of a built-in service, if that waits for others or is
    /// at rest. The state and the needs stay. Returns true if the definition was replaced.
    pub fn revise(&mut self, def: ServiceDef) -> bool {
        let same = |r: &&mut ServiceRecord| r.def.name == def.name && r.def.needs == def.needs;
        let mut own = self.records.iter_mut().take(self.builtin);
        let Some(record) = own.find(same) else {
            return false;
        };
        let revisable = record.state == State::Waiting || record.state.at_rest();
        if revisable {
            record.def = def;
        }
        revisable
    }

    /// Adds a built-in service, before any user service was added. The service
    /// is off.
    ///
    /// # Errors
    /// The errors of [`Supervisor::add`], and [`DefinitionError::TooLate`].
    pub fn extend(&mut self, def: ServiceDef) -> Result<ServiceId, DefinitionError> {
        if self.records.len() != self.builtin {
            return Err(DefinitionError::TooLate);
        }
        let id = self.add(def)?;
        self.builtin = self.records.len();
        Ok(id)
    }
}
