// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

fn source(n: u8) -> Source {
    IpAddr::from([192, 0, 2, n]).into()
}

/// The plain list of which the queue is the quick form: number, source, software.
type Plain = Vec<(Id, u8, Option<Software>)>;

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

fn first_identified(plain: &Plain, loads: &Loads, turn: usize) -> Option<Id> {
    let identified = || plain.iter().filter_map(|one| Some((one.0, one.1, one.2?)));
    let sources = newest_first(
        identified()
            .map(|one| one.1)
            .collect::<Vec<_>>()
            .into_iter(),
    );
    let mut sources = least_of(&sources, |n| loads.of_source(source(n)));
    sources.truncate(NEWEST);
    let from = *sources.get(turn % sources.len().max(1))?;
    let turn = turn / sources.len();
    let of_it: Vec<(Id, Software)> = identified()
        .filter(|one| one.1 == from)
        .map(|one| (one.0, one.2))
        .collect();
    let candidates = newest_first(of_it.iter().map(|one| one.1));
    let mut candidates = least_of(&candidates, |software| {
        loads.of_client(source(from), software)
    });
    candidates.truncate(NEWEST);
    let software = candidates[turn % candidates.len()];
    let ids: Vec<Id> = of_it
        .iter()
        .filter(|one| one.1 == software)
        .map(|one| one.0)
        .collect();
    let place = turn / candidates.len() % ids.len().min(NEWEST);
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
        let sessions = sessions.iter().map(|&(from, software)| Client {
            source: source(from),
            software: Some(software),
        });
        let loads = Loads::of(sessions);
        for (n, (what, from, which)) in (0..).zip(steps) {
            let chosen = (!plain.is_empty()).then(|| which.index(plain.len()));
            match (what, chosen) {
                (2, Some(at)) => {
                    let software = plain[at].2.unwrap_or(n % 3);
                    plain[at].2 = Some(software);
                    queue.identify(plain[at].0, software);
                }
                (3, Some(at)) => {
                    let (id, from, software) = plain.remove(at);
                    let client = Client { source: source(from), software };
                    prop_assert_eq!(queue.remove(id), Some(client));
                }
                _ => {
                    plain.push((n, from, None));
                    queue.insert(n, source(from), n * 10);
                }
            }
            prop_assert_eq!(queue.first_silent(&loads), first_silent(&plain, &loads));
            for turn in 0..9 {
                let first = first_identified(&plain, &loads, turn);
                let none = [].iter();
                prop_assert_eq!(queue.first_identified(&loads, none, turn), first);
            }
            prop_assert_eq!(queue.len(), plain.len());
            prop_assert_eq!(queue.has_identified(), plain.iter().any(|one| one.2.is_some()));
            let silent = plain.iter().find(|one| one.2.is_none());
            prop_assert_eq!(queue.oldest_silent(), silent.map(|one| (one.0, one.0 * 10)));
            let count = |n: u8| plain.iter().filter(|one| one.1 == n).count();
            let most = (0..5).map(count).max().filter(|&most| most > 0);
            prop_assert_eq!(queue.largest_source().map(|(size, _)| size), most);
            for n in 0..5 {
                let of_it = plain.iter().filter(|one| one.1 == n);
                let oldest = of_it.min_by_key(|one| (one.2.is_some(), one.0));
                prop_assert_eq!(queue.oldest_of(source(n)), oldest.map(|one| one.0));
            }
        }
    }
}
