// SPDX-License-Identifier: Apache-2.0
//! Changes of the table: user services that are added at run time, and definitions of the
//! built-in services that the data disk changes during the boot.

use super::Supervisor;
use crate::Millis;
use crate::definition_error::DefinitionError;
use crate::graph::{self, Set};
use crate::service::ServiceDef;
use crate::service_record::ServiceRecord;
use crate::state::{Revision, ServiceId};

/// Maximum number of user services.
pub const MAX_USER_SERVICES: usize = 192;
/// Maximum number of different definitions at run time, refused ones included. The strings of a definition that
/// is replaced or refused are never freed. The same definition again costs nothing ([`Supervisor::known`]).
pub(crate) const MAX_ADDED: usize = 1_000;

impl Supervisor {
    /// Reason why the service can never start, for a table that was just created. `predecessors` are those of the
    /// table.
    pub(super) fn reason_invalid(
        &self,
        id: ServiceId,
        predecessors: &[Set],
    ) -> Option<DefinitionError> {
        let name = self.definition(id)?.name;
        if id.index() >= graph::MAX_SERVICES {
            Some(DefinitionError::TooManyServices)
        } else if self.needs_transitively(id, id) {
            Some(DefinitionError::NeedsItself)
        } else if contains_itself(predecessors, id) {
            Some(DefinitionError::WaitsForItself)
        } else if self.find(name) != Some(id) {
            Some(DefinitionError::DuplicateName)
        } else {
            None
        }
    }

    /// Checks the conditions of [`Supervisor::add`] that depend on the name alone, before there is a definition.
    ///
    /// # Errors
    /// The reason why [`Supervisor::add`] would refuse every service of this name.
    pub fn may_add(&self, name: &str) -> Result<(), DefinitionError> {
        let capacity = graph::MAX_SERVICES.min(self.builtin + MAX_USER_SERVICES);
        match self.find(name) {
            Some(id) if id.index() < self.builtin => Err(DefinitionError::NameTaken),
            Some(id) if !self.state(id).at_rest() => Err(DefinitionError::InUse),
            None if self.place().index() >= capacity => Err(DefinitionError::TooManyServices),
            _ => Ok(()),
        }
    }

    /// Checks that a further definition may be added.
    ///
    /// # Errors
    /// The limit of definitions is reached.
    pub fn may_grow(&self) -> Result<(), DefinitionError> {
        match self.definitions_added < MAX_ADDED {
            true => Ok(()),
            false => Err(DefinitionError::TooManyChanges),
        }
    }

    /// Returns the definitions of the name that were added before: the present one, and one that was refused or
    /// forgotten. To add an equal definition again leaks no strings.
    pub fn known(&self, name: &str) -> impl Iterator<Item = &ServiceDef> {
        let unused = self.unused_definitions.iter().find(|def| def.name == name);
        let present = self.find(name).and_then(|id| self.definition(id));
        present.into_iter().chain(unused)
    }

    /// Returns true for a user service. Built-in services precede the user services in the table;
    /// [`Supervisor::extend`] adds built-in services at run time.
    #[must_use]
    pub fn is_user_service(&self, id: ServiceId) -> bool {
        let is_free = self.free_slots.contains(id.index());
        (self.builtin..self.records.len()).contains(&id.index()) && !is_free
    }

    /// Adds a user service, or replaces the one of the same name if that is at rest. The
    /// service is off.
    ///
    /// # Errors
    /// The errors of [`Supervisor::may_add`] and [`Supervisor::may_grow`], [`DefinitionError::NeedsItself`] and
    /// [`DefinitionError::WaitsForItself`].
    pub fn add(&mut self, def: ServiceDef) -> Result<ServiceId, DefinitionError> {
        self.may_add(def.name)?;
        if self.known(def.name).all(|known| *known != def) {
            self.may_grow()?;
            // A refused definition counts as well, because its strings are never freed.
            self.definitions_added += 1;
        }
        let id = self.find(def.name).unwrap_or_else(|| self.place());
        let needs = self.needs_with(id, &def);
        self.unused_definitions
            .retain(|other| other.name != def.name);
        if needs.is_err() {
            self.unused_definitions.push(def);
        }
        self.needs = needs?;
        self.free_slots.remove(id.index());
        let record = ServiceRecord::new(id, def);
        match self.records.get_mut(id.index()) {
            Some(replaced) => *replaced = record,
            None => self.records.push(record),
        }
        Ok(id)
    }

    /// Returns the id of the next service: that of a free slot, or of the slot after the last service.
    fn place(&self) -> ServiceId {
        let mut slots = 0..self.records.len();
        let free = slots.find(|n| self.free_slots.contains(*n));
        ServiceId::new(free.unwrap_or(self.records.len()))
    }

    /// Requests the stop of a user service, and that it is forgotten.
    pub(super) fn request_unload(&mut self, now: Millis, id: ServiceId) {
        if self.is_user_service(id) {
            self.request_stop(now, id, true);
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
                self.unused_definitions.push(record.def);
                *record = ServiceRecord::new(id, ServiceDef::DEFAULT);
                self.free_slots.insert(id.index());
            }
        }
        if !gone.is_empty() {
            let definitions: Vec<&ServiceDef> = self.records.iter().map(|r| &r.def).collect();
            self.needs = graph::needs(&definitions);
        }
        gone
    }

    /// Returns what each service needs if `def` is the definition of the service `id`.
    ///
    /// # Errors
    /// The service would need itself, or be ordered after itself.
    fn needs_with(&self, id: ServiceId, def: &ServiceDef) -> Result<Vec<Set>, DefinitionError> {
        let records = self.records.iter();
        let mut definitions: Vec<&ServiceDef> = records.map(ServiceRecord::next_def).collect();
        match definitions.get_mut(id.index()) {
            Some(replaced) => *replaced = def,
            None => definitions.push(def),
        }
        let needs = graph::needs(&definitions);
        if contains_itself(&needs, id) {
            Err(DefinitionError::NeedsItself)
        } else if contains_itself(&graph::predecessors(&definitions), id) {
            Err(DefinitionError::WaitsForItself)
        } else {
            Ok(needs)
        }
    }

    /// Replaces the definition of the built-in service `id`; the state stays. The definition of a service that has a
    /// process, or is about to have one, is replaced when the service next waits for its start: the result is then
    /// [`Revision::AtNextStart`].
    ///
    /// # Errors
    /// The service is a user service, `def` has another name or other needs, or would be ordered after itself.
    pub fn revise(&mut self, id: ServiceId, def: ServiceDef) -> Result<Revision, DefinitionError> {
        let present = self.definition(id).filter(|_| id.index() < self.builtin);
        if present.is_none_or(|present| present.name != def.name || present.needs != def.needs) {
            return Err(DefinitionError::OtherNeeds);
        }
        let _ = self.needs_with(id, &def)?;
        let record = self.records.get_mut(id.index());
        Ok(record.map_or(Revision::Now, |record| record.revise(def)))
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

/// Returns true if the set of the service `id` contains the service itself: the service is on a cycle.
fn contains_itself(sets: &[Set], id: ServiceId) -> bool {
    let own = sets.get(id.index());
    own.is_some_and(|set| set.contains(id.index()))
}
