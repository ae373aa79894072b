// SPDX-License-Identifier: Apache-2.0
//! Dependencies between services, as one bit set per service. The sets are computed when a
//! definition is added, without recursion, so a cycle is only a bit in a set. Services are named
//! by their index in the table.

use crate::service::ServiceDef;

/// A set of services: bit n stands for the nth service.
pub type Set = u128;
/// Maximum number of services.
pub const MAX_SERVICES: usize = Set::BITS as usize;

/// Returns the set of one service, or the empty set if the index is too high.
#[must_use]
pub fn only(index: usize) -> Set {
    u32::try_from(index)
        .ok()
        .and_then(|n| 1u128.checked_shl(n))
        .unwrap_or(0)
}

/// Returns for each service the set of services that it needs, directly or indirectly. A service on a
/// cycle needs itself. Unknown names are ignored; of two services with one name the first counts.
#[must_use]
pub fn needs(definitions: &[&ServiceDef]) -> Vec<Set> {
    closure(definitions, |def| [def.needs, &[]])
}

/// Returns for each service the set of services for which its start waits: those that it needs and
/// those that it is ordered after, directly or indirectly, with the conventions of [`needs`].
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
        let indices = names.iter().copied().flatten().filter_map(index);
        indices.fold(0, |set, n| set | only(n))
    };
    let mut sets: Vec<Set> = definitions.iter().map(direct).collect();
    for middle in 0..sets.len() {
        let reached = sets.get(middle).copied().unwrap_or(0);
        let through = sets.iter_mut().filter(|set| **set & only(middle) != 0);
        through.for_each(|set| *set |= reached);
    }
    sets
}

#[cfg(test)]
mod tests;
