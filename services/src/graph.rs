//! Who needs whom, directly or not: a set of ids for each service, worked out
//! when a row is taken. Nothing recurses, so a cycle is a bit in a set and no more.

use crate::service::ServiceDef;

/// A set of ids.
pub type Set = u128;
/// So many services there may be.
pub const MOST: usize = Set::BITS as usize;

/// The set of `id` alone; empty where it is too high.
#[must_use]
pub fn only(id: usize) -> Set {
    u32::try_from(id)
        .ok()
        .and_then(|n| 1u128.checked_shl(n))
        .unwrap_or(0)
}

/// For each row all that it needs, directly or not; itself only where it is on a
/// cycle. Names that nobody has are left out; of two rows with one name the first
/// is meant. (Warshall's algorithm.)
#[must_use]
pub fn needs(rows: &[&ServiceDef]) -> Vec<Set> {
    let id = |name: &&str| rows.iter().position(|r| r.name == *name);
    let direct = |row: &&ServiceDef| row.needs.iter().filter_map(id).fold(0, |s, n| s | only(n));
    let mut all: Vec<Set> = rows.iter().map(direct).collect();
    for by in 0..all.len() {
        let more = all.get(by).copied().unwrap_or(0);
        let through = all.iter_mut().filter(|s| **s & only(by) != 0);
        through.for_each(|s| *s |= more);
    }
    all
}

/// The names of the rows that can never start, since they need themselves.
#[must_use]
pub fn cycles(rows: &[&ServiceDef]) -> Vec<&'static str> {
    let needs = needs(rows);
    let all = rows.iter().zip(&needs).enumerate();
    let on_one = all.filter(|(id, (_, needs))| **needs & only(*id) != 0);
    on_one.map(|(_, (row, _))| row.name).collect()
}

/// All ids, each after what it needs and otherwise as in the table; what needs a
/// cycle comes last.
#[must_use]
pub fn order(needs: &[Set]) -> Vec<usize> {
    let (mut order, mut placed) = (Vec::with_capacity(needs.len()), 0);
    let mut before = usize::MAX;
    while order.len() != before {
        before = order.len();
        for (id, needs) in needs.iter().enumerate() {
            if placed & only(id) == 0 && needs & !placed == 0 {
                order.push(id);
                placed |= only(id);
            }
        }
    }
    order.extend((0..needs.len()).filter(|id| placed & only(*id) == 0));
    order
}

#[cfg(test)]
mod tests;
