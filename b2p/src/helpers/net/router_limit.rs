// SPDX-License-Identifier: Apache-2.0
//! Limit of the routes that routers bring to a card. The kernel keeps every advertised prefix and router
//! for the time in the advertisement, without a limit for their number: a neighbour that advertises without
//! end takes the memory of the machine. Beyond [`MAX_ROUTES`], all routes and addresses of routers on the
//! card are removed, and routers are ignored for [`REST`].

use log::warn;
use services::Millis;

use super::card_settings::hear_routers;
use super::router_flush::flush;
use super::router_prefixes::{BY_ROUTER, Link, RouterPrefixes};

/// Largest number of routes. A link has a handful of routers and prefixes.
const MAX_ROUTES: usize = 128;
/// Time for which routers are ignored, in milliseconds.
const REST: Millis = 600_000;

/// Cards whose routers are ignored, each with the end of its rest; and prefixes that were removed.
#[derive(Debug, Default)]
pub struct RouterLimit(Vec<(String, Millis)>, RouterPrefixes);

impl RouterLimit {
    /// Checks the routes of these cards in the kernel's table ([`super::router_prefixes::routes_table`]).
    pub fn look(&mut self, table: &str, links: &[Link], now: Millis) {
        let (rested, resting): (Vec<_>, Vec<_>) =
            self.0.drain(..).partition(|(_, until)| *until <= now);
        self.0 = resting;
        rested.iter().for_each(|(card, _)| hear_routers(card, true));
        self.1.remove(table, links);
        for link in links {
            let card = link.name.as_str();
            if !self.is_resting(card) && count(table, card) > MAX_ROUTES {
                hear_routers(card, false);
                flush(card, link.index);
                self.0.push((card.to_owned(), now + REST));
                self.lines().iter().for_each(|line| warn!("{line}"));
            }
        }
    }

    /// Forgets a card that is set up anew.
    pub fn forget(&mut self, card: &str) {
        self.0.retain(|(name, _)| name != card);
    }

    /// Returns when [`RouterLimit::look`] is to be called without an event.
    pub fn deadline(&self) -> Option<Millis> {
        self.0.iter().map(|(_, until)| *until).min()
    }

    /// Returns the reasons of degraded lines.
    pub fn lines(&self) -> Vec<String> {
        let line = |(card, _): &(String, Millis)| {
            let minutes = REST / 60_000;
            format!(
                "{card}: routers advertise more than {MAX_ROUTES} routes of IPv6; \
                 none of them is heard for {minutes} minutes"
            )
        };
        self.0.iter().map(line).collect()
    }

    fn is_resting(&self, card: &str) -> bool {
        self.0.iter().any(|(name, _)| name == card)
    }
}

/// Returns the number of routes of a card that are by routers (proc_pid_net(5); net/ipv6/route.c,
/// `rt6_info_route`).
fn count(table: &str, card: &str) -> usize {
    let is_counted = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let flags = words.get(8).and_then(|f| u32::from_str_radix(f, 16).ok());
        words.get(9) == Some(&card) && flags.is_some_and(|flags| flags & BY_ROUTER != 0)
    };
    table.lines().filter(is_counted).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_by_routers_of_the_card_are_counted() {
        let zero = "0".repeat(32);
        let line = |flags: &str, card: &str| {
            format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 {flags}     {card}\n")
        };
        let table = [
            line("00450003", "eth0"),
            line("00040001", "eth0"),
            line("00000001", "eth0"),
            line("00040001", "eth1"),
            "00 cut".to_owned(),
        ]
        .concat();
        assert_eq!([count(&table, "eth0"), count(&table, "eth1")], [2, 1]);
        assert_eq!(count("", "eth0"), 0);
    }

    #[test]
    fn a_card_over_the_limit_pauses_and_a_new_card_does_not() {
        let mut limit = RouterLimit(
            vec![("none0".to_owned(), 20), ("none1".to_owned(), 30)],
            RouterPrefixes::default(),
        );
        limit.look("", &[], 10);
        assert_eq!((limit.lines().len(), limit.deadline()), (2, Some(20)));
        limit.look("", &[], 20);
        assert!(limit.lines()[0].starts_with("none1: routers advertise more than 128 "));
        limit.forget("none1");
        assert_eq!((limit.lines().len(), limit.deadline()), (0, None));
    }
}
