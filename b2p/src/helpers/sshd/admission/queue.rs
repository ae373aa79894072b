// SPDX-License-Identifier: Apache-2.0
//! Connections that wait, in order: each step costs the logarithm of their number.

use std::collections::{BTreeMap, BTreeSet};

use sys::clock::Millis;

use super::{Client, Software, Source};

/// Number of a connection; later ones have higher numbers.
pub type Id = u64;

/// Kinds of software of one source that are compared: a client may name a new one each time.
const MAX_SOFTWARE: usize = 64;
/// Number of the newest among equal connections, kinds of software or sources, which take turns.
const NEWEST: usize = 3;
/// Decisions of which the last is for sources without a login, and the others for those with one.
const TURNS: usize = 4;

/// Facts about a connection that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    source: Source,
    since: Millis,
    /// The client's software, once its identification string has arrived.
    software: Option<Software>,
    /// Memory in bytes of its unread data.
    weight: u32,
}

/// Connections of one source.
#[derive(Clone, Debug, Default)]
struct Group {
    silent: BTreeSet<Id>,
    identified: BTreeSet<Id>,
    /// Connections with an identification string, by the software of their clients.
    by_software: BTreeMap<Software, BTreeSet<Id>>,
    /// The newest connection of each kind of software.
    newest: BTreeSet<(Id, Software)>,
}

impl Group {
    fn len(&self) -> usize {
        self.silent.len() + self.identified.len()
    }

    fn insert(&mut self, id: Id, software: Option<Software>) {
        match software {
            None => self.silent.insert(id),
            Some(software) => {
                self.change_identified(software, |ids| ids.insert(id));
                self.identified.insert(id)
            }
        };
    }

    fn remove(&mut self, id: Id, software: Option<Software>) {
        match software {
            None => self.silent.remove(&id),
            Some(software) => {
                self.change_identified(software, |ids| ids.remove(&id));
                self.identified.remove(&id)
            }
        };
    }

    /// Changes the connections of one kind of software.
    fn change_identified(
        &mut self,
        software: Software,
        change: impl FnOnce(&mut BTreeSet<Id>) -> bool,
    ) {
        let mut ids = self.by_software.remove(&software).unwrap_or_default();
        if let Some(&id) = ids.last() {
            self.newest.remove(&(id, software));
        }
        change(&mut ids);
        if let Some(&id) = ids.last() {
            self.newest.insert((id, software));
            self.by_software.insert(software, ids);
        }
    }

    /// Returns one of the newest connections of the software with the fewest sessions.
    fn first(&self, load: impl Fn(Software) -> usize, turn: usize) -> Option<Id> {
        let candidates = self.newest.iter().rev().map(|&(_, software)| software);
        let candidates = least(candidates.take(MAX_SOFTWARE), load);
        let software = candidates.get(turn % candidates.len().max(1))?;
        let ids = self.by_software.get(software)?;
        let place = turn / candidates.len() % ids.len().min(NEWEST);
        ids.iter().rev().nth(place).copied()
    }
}

/// Returns the first of those with the least load.
fn least<T: Copy>(all: impl Iterator<Item = T>, load: impl Fn(T) -> usize) -> Vec<T> {
    let (mut least, mut found) = (usize::MAX, Vec::new());
    for one in all {
        let load = load(one);
        if load < least {
            (least, found) = (load, Vec::new());
        }
        if load == least && found.len() < NEWEST {
            found.push(one);
        }
        if least == 0 && found.len() == NEWEST {
            break;
        }
    }
    found
}

/// Numbers of sessions without a login.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    sources: BTreeMap<Source, usize>,
    clients: BTreeMap<Client, usize>,
}

impl Loads {
    /// Counts the sessions of these clients.
    pub fn of(clients: impl Iterator<Item = Client>) -> Loads {
        let mut loads = Loads::default();
        for client in clients {
            *loads.sources.entry(client.source).or_insert(0) += 1;
            *loads.clients.entry(client).or_insert(0) += 1;
        }
        loads
    }

    /// Returns the number of sessions of a source.
    pub fn of_source(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// Returns the number of sessions of a source's clients with this software.
    fn of_client(&self, source: Source, software: Software) -> usize {
        let software = Some(software);
        let client = Client { source, software };
        self.clients.get(&client).copied().unwrap_or(0)
    }
}

/// All connections that wait.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Id, Waiting>,
    /// Connections without data, which may wait for a limited time.
    silent: BTreeSet<Id>,
    groups: BTreeMap<Source, Group>,
    /// Sources by the number of their connections.
    sizes: BTreeSet<(usize, Source)>,
    /// The newest connection of each source, of those with an identification string and of
    /// the silent.
    newest_identified: BTreeSet<(Id, Source)>,
    newest_silent: BTreeSet<(Id, Source)>,
    /// Connections by the memory of their unread data, and its sum in bytes.
    heaviest: BTreeSet<(u32, Id)>,
    weight: u64,
}

impl Queue {
    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns true if an identification string has arrived.
    pub fn has_identified(&self) -> bool {
        !self.newest_identified.is_empty()
    }

    /// Returns true if the connection waits.
    pub fn contains(&self, id: Id) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Adds a silent connection.
    pub fn insert(&mut self, id: Id, source: Source, since: Millis) {
        let new = Waiting {
            source,
            since,
            software: None,
            weight: 0,
        };
        self.waiting.insert(id, new);
        self.silent.insert(id);
        self.change(source, |group| group.insert(id, None));
    }

    /// Notes an identification string, and the software that the string names.
    pub fn identify(&mut self, id: Id, software: Software) {
        let Some(one) = self
            .waiting
            .get_mut(&id)
            .filter(|one| one.software.is_none())
        else {
            return;
        };
        one.software = Some(software);
        let source = one.source;
        self.silent.remove(&id);
        self.change(source, |group| {
            group.remove(id, None);
            group.insert(id, Some(software));
        });
    }

    /// Removes a connection, and returns its client if there was one.
    pub fn remove(&mut self, id: Id) -> Option<Client> {
        self.weigh(id, 0);
        let Waiting {
            source, software, ..
        } = self.waiting.remove(&id)?;
        self.silent.remove(&id);
        self.change(source, |group| group.remove(id, software));
        Some(Client { source, software })
    }

    /// Notes the memory in bytes of a connection's unread data.
    pub fn weigh(&mut self, id: Id, bytes: u32) {
        let Some(one) = self.waiting.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut one.weight, bytes);
        self.heaviest.remove(&(before, id));
        if bytes > 0 {
            self.heaviest.insert((bytes, id));
        }
        self.weight = self.weight - u64::from(before) + u64::from(bytes);
    }

    /// Returns the memory in bytes of the data of all connections.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Returns the connection that has sent the most.
    pub fn heaviest(&self) -> Option<Id> {
        self.heaviest.last().map(|(_, id)| *id)
    }

    /// Returns the time since which the oldest silent connection waits.
    pub fn oldest_silent(&self) -> Option<(Id, Millis)> {
        let id = *self.silent.first()?;
        self.waiting.get(&id).map(|one| (id, one.since))
    }

    /// Returns the silent connection that is the next: the newest of the source with the fewest
    /// sessions.
    pub fn first_silent(&self, loads: &Loads) -> Option<Id> {
        let newest = self.newest_silent.iter().rev();
        let all = least(newest, |&(_, source)| loads.of_source(source));
        all.first().map(|(id, _)| *id)
    }

    /// Returns the first connection with an identification string: one of the newest, in turn, of the
    /// software with the fewest sessions of the sources with the fewest. Sources that are `known`
    /// precede all others in three of four turns, and follow them in the fourth: an attacker may be at
    /// a known source too, and the user at a new one. Without turns, a client that connects again as
    /// soon as its session has ended would always be the newest.
    pub fn first_identified<'a>(
        &self,
        loads: &Loads,
        known: impl Iterator<Item = &'a Source>,
        turn: usize,
    ) -> Option<Id> {
        let newest = |source: &Source| Some((self.newest_of(*source)?, *source));
        let known: BTreeSet<_> = sys::sort::inserted(known.filter_map(newest));
        let unknown = || {
            self.newest_identified
                .iter()
                .filter(|one| !known.contains(one))
        };
        let is_for_unknown = turn % TURNS == TURNS - 1 && unknown().next().is_some();
        let (candidates, turn): (Box<dyn Iterator<Item = _>>, _) = match is_for_unknown {
            _ if known.is_empty() => (Box::new(self.newest_identified.iter().rev()), turn),
            true => (Box::new(unknown().rev()), turn / TURNS),
            false => (Box::new(known.iter().rev()), turn - turn / TURNS),
        };
        // Few sources have sessions, so few are looked at.
        let sources = candidates.map(|&(_, source)| source);
        let sources = least(sources, |source| loads.of_source(source));
        let source = *sources.get(turn % sources.len().max(1))?;
        let load = |software| loads.of_client(source, software);
        self.groups.get(&source)?.first(load, turn / sources.len())
    }

    /// Returns the newest connection of a source that has an identification string.
    fn newest_of(&self, source: Source) -> Option<Id> {
        self.groups.get(&source)?.identified.last().copied()
    }

    /// Returns the oldest connection; a silent one precedes one with an identification string.
    pub fn oldest(&self) -> Option<Id> {
        let any = || self.waiting.first_key_value().map(|(id, _)| *id);
        self.silent.first().copied().or_else(any)
    }

    /// Returns the source with the most connections, and their number.
    pub fn largest_source(&self) -> Option<(usize, Source)> {
        self.sizes.last().copied()
    }

    /// Returns the oldest connection of a source; a silent one precedes one with an identification
    /// string.
    pub fn oldest_of(&self, source: Source) -> Option<Id> {
        let group = self.groups.get(&source)?;
        group.silent.first().or(group.identified.first()).copied()
    }

    /// Changes a group and the totals of all groups.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut Group)) {
        let mut group = self.groups.remove(&source).unwrap_or_default();
        self.sizes.remove(&(group.len(), source));
        if let Some(&id) = group.identified.last() {
            self.newest_identified.remove(&(id, source));
        }
        if let Some(&id) = group.silent.last() {
            self.newest_silent.remove(&(id, source));
        }
        change(&mut group);
        if let Some(&id) = group.identified.last() {
            self.newest_identified.insert((id, source));
        }
        if let Some(&id) = group.silent.last() {
            self.newest_silent.insert((id, source));
        }
        if group.len() > 0 {
            self.sizes.insert((group.len(), source));
            self.groups.insert(source, group);
        }
    }
}

#[cfg(test)]
mod tests;
