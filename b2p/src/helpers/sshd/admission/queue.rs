// SPDX-License-Identifier: Apache-2.0
//! Connections that wait, in order: each step costs the logarithm of their number.

use std::collections::{BTreeMap, BTreeSet};

use sys::clock::Millis;

use super::{Client, Name, Source};

/// Number of a connection; later ones have higher numbers.
pub type Id = u64;

/// Names of one source that are compared: a client may have a new one for each connection.
const MAX_NAMES: usize = 64;
/// Equal connections, names or sources, the newest, that have turns.
const NEWEST: usize = 3;

/// Facts about a connection that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    source: Source,
    since: Millis,
    /// The client's name, once it has spoken.
    name: Option<Name>,
}

/// Connections of one source.
#[derive(Clone, Debug, Default)]
struct Group {
    silent: BTreeSet<Id>,
    spoken: BTreeSet<Id>,
    /// Connections that have spoken, by the names of their clients.
    named: BTreeMap<Name, BTreeSet<Id>>,
    /// The newest connection of each name.
    newest: BTreeSet<(Id, Name)>,
}

impl Group {
    fn len(&self) -> usize {
        self.silent.len() + self.spoken.len()
    }

    fn insert(&mut self, id: Id, name: Option<Name>) {
        match name {
            None => self.silent.insert(id),
            Some(name) => {
                self.rename(name, |ids| ids.insert(id));
                self.spoken.insert(id)
            }
        };
    }

    fn remove(&mut self, id: Id, name: Option<Name>) {
        match name {
            None => self.silent.remove(&id),
            Some(name) => {
                self.rename(name, |ids| ids.remove(&id));
                self.spoken.remove(&id)
            }
        };
    }

    /// Changes the connections with one name.
    fn rename(&mut self, name: Name, change: impl FnOnce(&mut BTreeSet<Id>) -> bool) {
        let mut ids = self.named.remove(&name).unwrap_or_default();
        if let Some(&id) = ids.last() {
            self.newest.remove(&(id, name));
        }
        change(&mut ids);
        if let Some(&id) = ids.last() {
            self.newest.insert((id, name));
            self.named.insert(name, ids);
        }
    }

    /// Returns one of the newest connections of the names with the fewest sessions.
    fn first(&self, load: impl Fn(Name) -> usize, turn: usize) -> Option<Id> {
        let names = self.newest.iter().rev().map(|&(_, name)| name);
        let names = least(names.take(MAX_NAMES), load);
        let name = names.get(turn % names.len().max(1))?;
        let ids = self.named.get(name)?;
        let place = turn / names.len() % ids.len().min(NEWEST);
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

    /// Returns the number of sessions of a source and a name.
    fn of_client(&self, source: Source, name: Name) -> usize {
        let name = Some(name);
        let client = Client { source, name };
        self.clients.get(&client).copied().unwrap_or(0)
    }
}

/// All connections that wait.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Id, Waiting>,
    /// Connections that have said nothing: they may wait for a limited time.
    silent: BTreeSet<Id>,
    groups: BTreeMap<Source, Group>,
    /// Sources by the number of their connections.
    sizes: BTreeSet<(usize, Source)>,
    /// The newest connection of each source, of those that have spoken and of the silent.
    newest_spoken: BTreeSet<(Id, Source)>,
    newest_silent: BTreeSet<(Id, Source)>,
}

impl Queue {
    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns true if a connection has spoken.
    pub fn has_spoken(&self) -> bool {
        !self.newest_spoken.is_empty()
    }

    /// Returns true if the connection waits.
    pub fn contains(&self, id: Id) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Adds a connection that has said nothing.
    pub fn insert(&mut self, id: Id, source: Source, since: Millis) {
        let new = Waiting {
            source,
            since,
            name: None,
        };
        self.waiting.insert(id, new);
        self.silent.insert(id);
        self.change(source, |group| group.insert(id, None));
    }

    /// Notes that a client has spoken, and its name.
    pub fn speaks(&mut self, id: Id, name: Name) {
        let Some(one) = self.waiting.get_mut(&id).filter(|one| one.name.is_none()) else {
            return;
        };
        one.name = Some(name);
        let source = one.source;
        self.silent.remove(&id);
        self.change(source, |group| {
            group.remove(id, None);
            group.insert(id, Some(name));
        });
    }

    /// Removes a connection, and returns its client if it was there.
    pub fn remove(&mut self, id: Id) -> Option<Client> {
        let Waiting { source, name, .. } = self.waiting.remove(&id)?;
        self.silent.remove(&id);
        self.change(source, |group| group.remove(id, name));
        Some(Client { source, name })
    }

    /// Returns the time since which the oldest silent connection waits.
    pub fn oldest_silent(&self) -> Option<(Id, Millis)> {
        let id = *self.silent.first()?;
        self.waiting.get(&id).map(|one| (id, one.since))
    }

    /// Returns the silent connection that comes first: the newest of the source with the fewest
    /// sessions.
    pub fn first_silent(&self, loads: &Loads) -> Option<Id> {
        let newest = self.newest_silent.iter().rev();
        let all = least(newest, |&(_, source)| loads.of_source(source));
        all.first().map(|(id, _)| *id)
    }

    /// Returns the connection that comes first of those that have spoken: of the sources with the
    /// fewest sessions, there of the names with the fewest, one of the newest, each in its turn.
    /// Without turns, a client that comes again as soon as its session has ended would always be
    /// the newest.
    pub fn first_spoken(&self, loads: &Loads, turn: usize) -> Option<Id> {
        // Few sources have sessions, so few are looked at.
        let sources = self.newest_spoken.iter().rev().map(|&(_, source)| source);
        let sources = least(sources, |source| loads.of_source(source));
        let source = *sources.get(turn % sources.len().max(1))?;
        let load = |name| loads.of_client(source, name);
        self.groups.get(&source)?.first(load, turn / sources.len())
    }

    /// Returns the source with the most connections, and their number.
    pub fn heaviest(&self) -> Option<(usize, Source)> {
        self.sizes.last().copied()
    }

    /// Returns the oldest connection of a source; one that is silent comes before one that has
    /// spoken.
    pub fn oldest_of(&self, source: Source) -> Option<Id> {
        let group = self.groups.get(&source)?;
        group.silent.first().or(group.spoken.first()).copied()
    }

    /// Changes a group and what is known of all groups.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut Group)) {
        let mut group = self.groups.remove(&source).unwrap_or_default();
        self.sizes.remove(&(group.len(), source));
        if let Some(&id) = group.spoken.last() {
            self.newest_spoken.remove(&(id, source));
        }
        if let Some(&id) = group.silent.last() {
            self.newest_silent.remove(&(id, source));
        }
        change(&mut group);
        if let Some(&id) = group.spoken.last() {
            self.newest_spoken.insert((id, source));
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn source(n: u8) -> Source {
        IpAddr::from([192, 0, 2, n]).into()
    }

    /// The plain list of which the queue is the quick form: number, source, name.
    type Plain = Vec<(Id, u8, Option<Name>)>;

    /// Returns the elements with the least key, in their order.
    fn least_of<T: Copy, K: Ord + Copy>(all: &[T], key: impl Fn(T) -> K) -> Vec<T> {
        let least = all.iter().map(|&one| key(one)).min();
        let same = all.iter().filter(|&&one| Some(key(one)) == least);
        same.copied().collect()
    }

    /// Returns the distinct keys of a list, those of its end first.
    fn newest_first<T: PartialEq>(keys: impl DoubleEndedIterator<Item = T>) -> Vec<T> {
        keys.rev().fold(Vec::new(), |mut all, key| {
            if !all.contains(&key) {
                all.push(key);
            }
            all
        })
    }

    fn first_spoken(plain: &Plain, loads: &Loads, turn: usize) -> Option<Id> {
        let spoken = || plain.iter().filter_map(|one| Some((one.0, one.1, one.2?)));
        let sources = newest_first(spoken().map(|one| one.1).collect::<Vec<_>>().into_iter());
        let mut sources = least_of(&sources, |n| loads.of_source(source(n)));
        sources.truncate(NEWEST);
        let from = *sources.get(turn % sources.len().max(1))?;
        let turn = turn / sources.len();
        let of_it: Vec<(Id, Name)> = spoken()
            .filter(|one| one.1 == from)
            .map(|one| (one.0, one.2))
            .collect();
        let names = newest_first(of_it.iter().map(|one| one.1));
        let mut names = least_of(&names, |name| loads.of_client(source(from), name));
        names.truncate(NEWEST);
        let name = names[turn % names.len()];
        let ids: Vec<Id> = of_it
            .iter()
            .filter(|one| one.1 == name)
            .map(|one| one.0)
            .collect();
        let place = turn / names.len() % ids.len().min(NEWEST);
        ids.iter().rev().nth(place).copied()
    }

    fn first_silent(plain: &Plain, loads: &Loads) -> Option<Id> {
        let silent: Vec<(Id, u8, _)> = plain
            .iter()
            .filter(|one| one.2.is_none())
            .copied()
            .collect();
        let best = least_of(&silent, |one| loads.of_source(source(one.1)));
        best.last().map(|one| one.0)
    }

    proptest! {
        #[test]
        fn the_queue_is_the_plain_list(
            steps in prop::collection::vec((0..4_u8, 0..5_u8, any::<prop::sample::Index>()), 0..200),
            sessions in prop::collection::vec((0..5_u8, 0..3_u64), 0..9),
        ) {
            let (mut queue, mut plain) = (Queue::default(), Plain::new());
            let sessions = sessions.iter().map(|&(from, name)| Client {
                source: source(from),
                name: Some(name),
            });
            let loads = Loads::of(sessions);
            for (n, (what, from, which)) in (0..).zip(steps) {
                let chosen = (!plain.is_empty()).then(|| which.index(plain.len()));
                match (what, chosen) {
                    (2, Some(at)) => {
                        let name = plain[at].2.unwrap_or(n % 3);
                        plain[at].2 = Some(name);
                        queue.speaks(plain[at].0, name);
                    }
                    (3, Some(at)) => {
                        let (id, from, name) = plain.remove(at);
                        let client = Client { source: source(from), name };
                        prop_assert_eq!(queue.remove(id), Some(client));
                    }
                    _ => {
                        plain.push((n, from, None));
                        queue.insert(n, source(from), n * 10);
                    }
                }
                prop_assert_eq!(queue.first_silent(&loads), first_silent(&plain, &loads));
                for turn in 0..9 {
                    let first = first_spoken(&plain, &loads, turn);
                    prop_assert_eq!(queue.first_spoken(&loads, turn), first);
                }
                prop_assert_eq!(queue.len(), plain.len());
                prop_assert_eq!(queue.has_spoken(), plain.iter().any(|one| one.2.is_some()));
                let silent = plain.iter().find(|one| one.2.is_none());
                prop_assert_eq!(queue.oldest_silent(), silent.map(|one| (one.0, one.0 * 10)));
                let count = |n: u8| plain.iter().filter(|one| one.1 == n).count();
                let most = (0..5).map(count).max().filter(|&most| most > 0);
                prop_assert_eq!(queue.heaviest().map(|(size, _)| size), most);
                for n in 0..5 {
                    let of_it = plain.iter().filter(|one| one.1 == n);
                    let oldest = of_it.min_by_key(|one| (one.2.is_some(), one.0));
                    prop_assert_eq!(queue.oldest_of(source(n)), oldest.map(|one| one.0));
                }
            }
        }
    }
}
