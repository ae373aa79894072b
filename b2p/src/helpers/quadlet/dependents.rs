// SPDX-License-Identifier: Apache-2.0
//! Services whose stop and restart follow from those of another unit (systemd.unit(5), "Requires=", "PartOf=").

use control::Report;

use super::convert::{Links, links};
use super::paths::{self, DEFINITIONS};
use crate::common::control_client::is_at_rest;

/// Returns true for a service that a unit has become.
#[must_use]
pub fn is_one(service: &str) -> bool {
    !service.contains('/') && paths::unit(service).exists()
}

/// Returns the services that a service names.
#[must_use]
pub fn links_of(service: &str) -> Links {
    let path = format!("{DEFINITIONS}/{service}");
    links(&sys::files::read_text(path).unwrap_or_default())
}

/// Returns true if the service is not at rest.
#[must_use]
pub fn runs(report: &Report<'_>, service: &str) -> bool {
    let mut services = report.services.iter();
    services.any(|s| s.name == service && !is_at_rest(s.state))
}

/// Returns the services of units that are parts of one of these and stop with it.
#[must_use]
pub fn parts_of(report: &Report<'_>, names: &[String]) -> Vec<String> {
    following(&all(report), names, false)
}

/// Returns the services of units that run and need one of these, or are a part of it, directly or not. Dependents
/// precede the services that they depend on.
#[must_use]
pub fn running_dependents(report: &Report<'_>, names: &[String]) -> Vec<String> {
    let mut list = following(&all(report), names, true);
    list.retain(|name| runs(report, name));
    list
}

fn all(report: &Report<'_>) -> Vec<(String, Links)> {
    let services = report.services.iter().map(|s| s.name);
    let own = services.filter(|name| is_one(name));
    own.map(|name| (name.to_owned(), links_of(name))).collect()
}

/// Returns the services that are parts of one of `names`, directly or not, and with `by_need` those that need one;
/// without `names` themselves.
fn following(all: &[(String, Links)], names: &[String], by_need: bool) -> Vec<String> {
    let mut found = names.to_vec();
    loop {
        let is_next = |(name, links): &&(String, Links)| {
            let needs = links.needs.iter().filter(|_| by_need);
            let mut on = needs.chain(&links.part_of);
            !found.contains(name) && on.any(|on| found.contains(on))
        };
        let Some((name, _)) = all.iter().find(is_next) else {
            break;
        };
        found.push(name.clone());
    }
    // Services that were found later depend on earlier ones.
    let mut list = found.split_off(names.len());
    list.reverse();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_need_a_unit_follow_it() {
        let link = |name: &str, needs: &[&str], part_of: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
            let links = Links {
                needs: list(needs),
                part_of: list(part_of),
                wants: list(&["db"]),
            };
            (name.to_owned(), links)
        };
        let all = [
            link("front", &["web"], &[]),
            link("web", &["db", "net"], &[]),
            link("backup", &[], &["db"]),
            link("db", &[], &[]),
            link("log", &["net"], &[]),
        ];
        let db = ["db".to_owned()];
        assert_eq!(following(&all, &db, true), ["backup", "front", "web"]);
        let parts = following(&all, &db, false);
        assert_eq!(parts, ["backup"]);
        assert!(following(&all, &["log".to_owned()], true).is_empty());
    }
}
