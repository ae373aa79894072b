// SPDX-License-Identifier: Apache-2.0
//! Dependencies between services, as one bit set per service. The sets are computed when a
//! definition is added, without recursion, so a cycle is only a bit in a set. Services are identified
//! by their index in the table.

use crate::service::ServiceDef;

/// Maximum number of services.
pub const MAX_SERVICES: usize = WORDS * 64;
/// Number of the words of a [`Set`].
const WORDS: usize = 4;

/// A set of services: bit n stands for the nth service. An index that is too high is in no set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set([u64; WORDS]);

impl Set {
    /// Returns true if the set has the nth service.
    #[must_use]
    pub fn contains(self, n: usize) -> bool {
        let word = self.0.get(n / 64);
        word.is_some_and(|word| word >> (n % 64) & 1 != 0)
    }

    /// Adds the nth service.
    pub fn insert(&mut self, n: usize) {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word |= 1 << (n % 64);
        }
    }

    /// Removes the nth service.
    pub fn remove(&mut self, n: usize) {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word &= !(1 << (n % 64));
        }
    }

    /// Adds the services of another set.
    pub fn extend(&mut self, other: Set) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }
}

/// Returns for each service the set of services that it needs, directly or indirectly. A service on a
/// cycle needs itself. Unknown names are ignored; of two services with one name the first counts.
#[must_use]
pub fn needs(definitions: &[&ServiceDef]) -> Vec<Set> {
    closure(definitions, |def| [def.needs, &[]])
}

/// Returns for each service the set of services for which its start waits: its `needs` and its
/// `after`, direct and indirect, with the conventions of [`needs`].
#[must_use]
pub fn predecessors(definitions: &[&ServiceDef]) -> Vec<Set> {
    closure(definitions, |def| [def.needs, def.after])
}

/// Returns for each service the services that `names` leads to (Warshall's algorithm).
fn closure(
    definitions: &[&ServiceDef],
    names: impl Fn(&ServiceDef) -> [&'static [&'static str]; 2],
) -> Vec<Set> {
    let index = |name: &&str| definitions.iter().position(|d| d.name == *name);
    let direct = |def: &&ServiceDef| {
        let names = names(def);
        let mut set = Set::default();
        let indices = names.iter().copied().flatten().filter_map(index);
        indices.for_each(|n| set.insert(n));
        set
    };
    let mut sets: Vec<Set> = definitions.iter().map(direct).collect();
    for middle in 0..sets.len() {
        let reached = sets.get(middle).copied().unwrap_or_default();
        let through = sets.iter_mut().filter(|set| set.contains(middle));
        through.for_each(|set| set.extend(reached));
    }
    sets
}

#[cfg(test)]
mod tests;
