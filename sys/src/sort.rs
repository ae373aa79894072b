// SPDX-License-Identifier: Apache-2.0
//! Order of lists that are short and rarely sorted. The sorts of std are 4 kB of code for each type of
//! element; the functions here share one sort, of indices.

use std::cmp::Ordering;

/// Sorts a list; equal elements keep their order.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, Ord::cmp);
}

/// Sorts a list by a comparison; equal elements keep their order.
pub fn sort_by<T>(list: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let order = order(list.len(), &mut |a, b| compare(&list[a], &list[b]));
    apply(order, &mut |a, b| list.swap(a, b));
}

/// Collects into a map or a set by insertions. `collect` sorts the elements of a `BTreeMap` or
/// `BTreeSet` first, with a sort for each type.
pub fn inserted<C: Default + Extend<T>, T>(elements: impl IntoIterator<Item = T>) -> C {
    let mut collection = C::default();
    collection.extend(elements);
    collection
}

/// Returns for each place of the sorted list the index of its element.
fn order(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

/// Moves each element to its place, cycle by cycle of the permutation.
fn apply(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at);
            if from == start {
                break;
            }
            swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_order_is_that_of_std(list in proptest::collection::vec((0_u8..8, any::<u8>()), 0..40)) {
            let (mut own, mut std) = (list.clone(), list.clone());
            sort_by(&mut own, |a, b| a.0.cmp(&b.0));
            std.sort_by_key(|element| element.0);
            prop_assert_eq!(&own, &std);
            sort(&mut own);
            std.sort_unstable();
            prop_assert_eq!(&own, &std);
            let set: BTreeSet<_> = inserted(list.iter().copied());
            prop_assert_eq!(set, list.into_iter().collect());
        }
    }
}
